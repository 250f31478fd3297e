// `node src/main.ts api-key <tenant>`: makes a key, prints it once, and the entry for API_KEYS or API_KEYS_FILE. It keeps
// and changes nothing.
import { parseArgs } from 'node:util'
import { faultsOf, newApiKey, type Scope } from './api-key.ts'

const USAGE = 'usage: api-key <tenant> [--scopes read,submit,admin] [--name <who uses it>] [--expires 2027-01-31]'

/** Two lines, the key and its entry; or what is wrong with the arguments. */
export function apiKeyCommand(args: readonly string[]): { lines: string[] } | { problems: string[] } {
  let parsed: { values: Record<string, string | undefined>; positionals: string[] }
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { scopes: { type: 'string' }, name: { type: 'string' }, expires: { type: 'string' } },
    })
  } catch (error) {
    return { problems: [(error as Error).message, USAGE] }
  }
  const { values, positionals } = parsed
  const [tenant, ...more] = positionals
  if (tenant === undefined || more.length)
    return { problems: [`expected one tenant, got ${positionals.length}`, USAGE] }
  const scopes = (values.scopes ?? 'read,submit').split(',').map((scope) => scope.trim()) as Scope[]
  const { name, expires } = values
  const made = newApiKey({ tenant, scopes, ...(name ? { name } : {}), ...(expires ? { expires } : {}) })
  const faults = faultsOf(made.entry)
  return faults.length ? { problems: [...faults, USAGE] } : { lines: [made.key, JSON.stringify(made.entry)] }
}
