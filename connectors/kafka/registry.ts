// The schema registry (Confluent's API): does a schema fit the subject's latest version, and what is its id.
import type { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { ConnectorError } from '../connector.ts'
import { schemaDifferences } from './avro-schema.ts'

export interface Registry {
  /** Why the registry would refuse the schema as the subject's next version, in its own words; null if it would not. */
  incompatibility(subject: string, schema: string): Promise<string | null>
  /** Registers the schema, unless it is there, and gives its id. Throws `ConnectorError('schema_incompatible')`. */
  register(subject: string, schema: string): Promise<number>
  /** The Avro schema that has this id, as JSON; null if there is none. */
  schemaOf(id: number): Promise<string | null>
}

const TIMEOUT_MS = 10_000

/** `url` may carry a user and password. */
export function openRegistry(url: string): Registry {
  const { origin, pathname, username, password } = new URL(url)
  const host = `${origin}${pathname.replace(/\/$/, '')}`
  const auth = username && { username: decodeURIComponent(username), password: decodeURIComponent(password) }
  let registry: SchemaRegistry | undefined
  const headers: Record<string, string> = {
    'content-type': 'application/vnd.schemaregistry.v1+json',
    ...(auth ? { authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` } : {}),
  }

  /** The answer's JSON; null for 404. */
  async function ask<T>(path: string, body?: unknown): Promise<T | null> {
    const request = body === undefined ? { method: 'GET' } : { method: 'POST', body: JSON.stringify(body) }
    try {
      const answer = await fetch(`${host}${path}`, { ...request, headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
      if (answer.status === 404) return null
      if (!answer.ok) throw failure(host, { status: answer.status, message: await answer.text() })
      return (await answer.json()) as T
    } catch (error) {
      throw failure(host, error)
    }
  }

  return {
    async schemaOf(id) {
      const answer = await ask<{ schema: string }>(`/schemas/ids/${id}`)
      return answer?.schema ?? null
    },

    async incompatibility(subject, schema) {
      const path = `/compatibility/subjects/${encodeURIComponent(subject)}/versions/latest?verbose=true`
      const answer = await ask<{ is_compatible: boolean; messages?: string[] }>(path, { schema })
      if (!answer || answer.is_compatible) return null
      if (answer.messages?.length) return answer.messages.join('; ')
      // Not every registry says why.
      const latest = await ask<{ schema: string }>(`/subjects/${encodeURIComponent(subject)}/versions/latest`)
      return schemaDifferences(latest?.schema ?? '{}', schema).join('; ') || 'it breaks a rule of the registry'
    },

    async register(subject, schema) {
      // The library compares the subject's level with the one it is given, and would else set its own.
      const config = await ask<{ compatibilityLevel: string }>(`/config/${encodeURIComponent(subject)}`)
      const level = config ? { compatibility: config.compatibilityLevel as never } : {}
      // Only for who writes Avro: it brings Protobuf and JSON Schema along, 2 of the 18 MB that the heap of a role holds.
      const { SchemaRegistry, SchemaType } = await import('@kafkajs/confluent-schema-registry')
      registry ??= new SchemaRegistry({ host, ...(auth ? { auth } : {}), retry: { retries: 2 } })
      try {
        const { id } = await registry.register(
          { type: SchemaType.AVRO, schema },
          { subject, updateConfig: false, ...level },
        )
        return id
      } catch (error) {
        throw failure(host, error)
      }
    },
  }
}

/** What a registry answers for a schema that breaks a rule. */
const REFUSED = [409, 422]

function failure(host: string, error: unknown): ConnectorError {
  if (error instanceof ConnectorError) return error
  const { status = 0, message } = error as { status?: number; message: string }
  const make = (code: string, text: string, retriable: boolean) =>
    new ConnectorError(code, text, { retriable, cause: error })
  if (REFUSED.includes(status)) return make('schema_incompatible', `the schema registry refuses: ${message}`, false)
  if (status === 401 || status === 403)
    return make('permission_denied', `the schema registry ${host} refuses the credentials: ${message}`, false)
  const passing = status === 0 || status === 429 || status >= 500
  const text = `the schema registry ${host} ${status ? `answers ${status}` : 'does not answer'}: ${message}`
  return make(passing ? 'registry_unavailable' : 'registry_failed', text, passing)
}
