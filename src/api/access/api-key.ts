// API keys: what is configured of each, how a given one is found again, and how a new one is made. Only hashes are
// configured, so that a settings file, an environment or a backup of them opens nothing.
import { createHash, randomBytes } from 'node:crypto'
import { timeOf } from '../time.ts'

/** What a key may do: `read` looks, `submit` starts, stops and schedules jobs, `admin` does these and changes models. */
export const SCOPES = ['read', 'submit', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

export interface ApiKey {
  readonly tenantId: string
  readonly scopes: readonly Scope[]
  /** SHA-256 of the key in hex. */
  readonly hash: string
  /** Ms since 1970; null: never. */
  readonly expiresAt: number | null
}

/** An entry as it is configured. */
interface KeyEntry {
  tenant: string
  scopes: Scope[]
  hash: string
  name?: string
  expires?: string
}

const FIELDS = ['tenant', 'scopes', 'hash', 'name', 'expires']
const EXPECTED =
  'expected a JSON array of {"tenant","scopes","hash"} as `node src/main.ts api-key <tenant>` prints them'

/** Reads the configured keys, or says what is wrong with them. Never repeats a value: it may be a key in clear. */
export function parseApiKeys(text: string): { keys: ApiKey[] } | { problems: string[] } {
  let entries: unknown
  try {
    entries = JSON.parse(text)
  } catch {
    // Said below.
  }
  if (!Array.isArray(entries)) return { problems: [EXPECTED] }
  const problems = entries.flatMap((entry, i) => faultsOf(entry).map((fault) => `entry ${i}: ${fault}`))
  if (problems.length) return { problems }
  const keys = (entries as KeyEntry[]).map(toKey)
  const twice = keys.findIndex(({ hash }, i) => keys.findIndex((other) => other.hash === hash) < i)
  return twice < 0 ? { keys } : { problems: [`entry ${twice}: its hash is that of an entry before it`] }
}

/**
 * The name by which a key is looked up. A plain SHA-256, and not bcrypt or scrypt: those are slow so that guessing what a
 * person made up takes long. A key has 256 random bits, which nobody guesses at any speed, and is checked on every request.
 */
export function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

/** A fresh key, and the entry that is to be configured. The prefix lets scanners for leaked secrets find it. */
export function newApiKey(entry: Omit<KeyEntry, 'hash'>): { key: string; entry: KeyEntry } {
  const key = `sl_${randomBytes(32).toString('hex')}`
  return { key, entry: { ...entry, hash: `sha256:${hashOf(key)}` } }
}

/** The entry's faults, one line each. */
export function faultsOf(entry: unknown): string[] {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return [EXPECTED]
  const { tenant, scopes, hash, name, expires } = entry as Record<string, unknown>
  const faults = Object.keys(entry)
    .filter((field) => !FIELDS.includes(field))
    .map(() => `expected no other fields than ${FIELDS.join(', ')}`)
    .slice(0, 1)
  if (typeof tenant !== 'string' || !tenant) faults.push('tenant: expected a text')
  if (!Array.isArray(scopes) || !scopes.length || !scopes.every((scope) => SCOPES.includes(scope)))
    faults.push(`scopes: expected an array of ${SCOPES.join(', ')}`)
  if (typeof hash !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(hash))
    faults.push('hash: expected sha256: and 64 small hex digits, the SHA-256 of a long random key')
  if (name !== undefined && typeof name !== 'string') faults.push('name: expected a text')
  if (expires !== undefined && (typeof expires !== 'string' || timeOf(expires) === null))
    faults.push('expires: expected a time as 2027-01-31T00:00:00Z')
  return faults
}

function toKey({ tenant, scopes, hash, expires }: KeyEntry): ApiKey {
  return {
    tenantId: tenant,
    scopes,
    hash: hash.slice('sha256:'.length),
    expiresAt: expires === undefined ? null : timeOf(expires),
  }
}
