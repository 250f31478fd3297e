// What the service's settings say of webhooks: each tenant's secrets, where webhooks may go, and for how long to try.

export interface WebhookSettings {
  /** Tenant → the keys that its webhooks are signed with: one, or two while it changes from one to the other. */
  readonly secrets: ReadonlyMap<string, readonly Buffer[]>
  /** Where webhooks may go although it is not public, by plain http too. */
  readonly privateNetworks: readonly string[]
  readonly retryHours: number
}

const PREFIX = 'whsec_'
/** What Standard Webhooks asks of a key. */
const LEAST_BYTES = 24
const MOST_BYTES = 64

/** The keys in the value of WEBHOOK_SECRETS, a JSON object tenant → secret or list of secrets. Throws `TypeError`. */
export function parseSecrets(text: string): Map<string, readonly Buffer[]> {
  const value = jsonOf(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('expected a JSON object tenant → secret, or tenant → list of secrets')
  return new Map(
    Object.entries(value).map(([tenant, given]) => {
      const secrets: unknown[] = Array.isArray(given) ? given : [given]
      if (!secrets.length) throw new TypeError(`${tenant}: expected a secret, got an empty list`)
      return [tenant, secrets.map((secret) => keyOf(tenant, secret))]
    }),
  )
}

/** Undefined if it is none; the parser's own message would show the text. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Its bytes. The message must not show the secret: it goes to a log. */
function keyOf(tenant: string, secret: unknown): Buffer {
  const base64 = typeof secret === 'string' && secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : ''
  const key = Buffer.from(base64, 'base64')
  const whole = key.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')
  if (whole && key.length >= LEAST_BYTES && key.length <= MOST_BYTES) return key
  throw new TypeError(
    `${tenant}: expected ${PREFIX} and the base64 of ${LEAST_BYTES} to ${MOST_BYTES} random bytes; make one with: echo "${PREFIX}$(openssl rand -base64 32)"`,
  )
}
