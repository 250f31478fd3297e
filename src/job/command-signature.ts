// Who wrote a command: the header `scoreline-signature: v1=<hex>`, HMAC-SHA256 over `<tenant_id>.<the record's value>` with a
// secret of the tenant, or with the service's own. It says nothing of when: a record that is sent again is as good as the
// first, and changes nothing only for as long as what it made is known (take-commands.ts). Pure.
import { createHmac, timingSafeEqual } from 'node:crypto'

export const SIGNATURE_HEADER = 'scoreline-signature'

/** Tenant → its secrets; the first signs, all are accepted. `*` has those of the service itself. */
export type CommandKeys = Readonly<Record<string, readonly string[]>>

/** The name under which the service's own secrets stand. */
export const SERVICE = '*'

/** Who signed: the service, the tenant, or nobody, where neither has a secret. */
export type Signer = 'service' | 'tenant' | 'nobody'

/** The header of a command that this service sends; null without a secret to sign with. */
export function signatureOf(keys: CommandKeys, tenantId: string, value: Buffer): string | null {
  const secret = (secretsOf(keys, SERVICE) ?? secretsOf(keys, tenantId))?.[0]
  return secret === undefined ? null : `v1=${digest(secret, tenantId, value).toString('hex')}`
}

/** Who signed a command, or why it must not be carried out. */
export function signerOf(
  keys: CommandKeys,
  tenantId: string,
  value: Buffer,
  header: string | undefined,
): { signer: Signer } | { reason: string } {
  const given = Buffer.from(/^v1=([0-9a-f]{64})$/.exec(header ?? '')?.[1] ?? '', 'hex')
  const fits = (name: string) => {
    const matches = (secretsOf(keys, name) ?? []).map((secret) => {
      const expected = digest(secret, tenantId, value)
      return given.length === expected.length && timingSafeEqual(given, expected)
    })
    return matches.includes(true)
  }
  if (fits(SERVICE)) return { signer: 'service' }
  const own = secretsOf(keys, tenantId)
  if (!own && !secretsOf(keys, SERVICE)) return { signer: 'nobody' }
  if (fits(tenantId)) return { signer: 'tenant' }
  const whose = own ? 'a secret of the tenant' : `the secret of the service, for COMMAND_KEYS has none of the tenant`
  const wanted = `${SIGNATURE_HEADER}: v1=<hex of HMAC-SHA256 over "${tenantId}." and the record's value, with ${whose}>`
  if (header === undefined) return { reason: `commands of tenant ${tenantId} must be signed: add a header ${wanted}` }
  if (!given.length) return { reason: `expected a header ${wanted}, got ${header.slice(0, 100)}` }
  return {
    reason: `the signature fits none of the secrets for tenant ${tenantId} and these bytes: sign the value exactly as it is sent, with a header ${wanted}`,
  }
}

function secretsOf(keys: CommandKeys, name: string): readonly string[] | undefined {
  return Object.hasOwn(keys, name) ? keys[name] : undefined
}

function digest(secret: string, tenantId: string, value: Buffer): Buffer {
  return createHmac('sha256', secret).update(`${tenantId}.`).update(value).digest()
}

const SHORTEST_SECRET = 16

/** Reads the setting: JSON tenant → secret, or a list of secrets while they are changed. */
export function parseCommandKeys(text: string): { keys: CommandKeys } | { problem: string } {
  const expected = `expected a JSON object tenant (or ${SERVICE}) → secret or list of secrets, each of ${SHORTEST_SECRET} letters or more`
  const given = jsonOf(text)
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return { problem: expected }
  const keys = Object.entries(given).map(([tenant, secrets]): [string, unknown[]] => [tenant, [secrets].flat()])
  const wrong = keys.find(([, secrets]) => !secrets.length || secrets.some((secret) => !isSecret(secret)))
  return wrong
    ? { problem: `${expected}; that of ${wrong[0]} is not` }
    : { keys: Object.fromEntries(keys) as CommandKeys }
}

/** Undefined if it is none; the parser's own message would show the secrets. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isSecret(secret: unknown): boolean {
  return typeof secret === 'string' && secret.length >= SHORTEST_SECRET
}
