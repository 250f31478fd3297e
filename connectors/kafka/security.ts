// How the service shows itself to a Kafka cluster that is secured, and how it knows the cluster: SASL and TLS, from two settings.
import { readFileSync } from 'node:fs'
import type { KafkaConfig } from 'kafkajs'

/** What every client of the cluster is made with; empty: plain text, nobody in particular. */
export type KafkaSecurity = Pick<KafkaConfig, 'sasl' | 'ssl'>

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
const SASL = `{"mechanism":"${MECHANISMS.join('|')}","username":"…","password":"…"}`
const TLS =
  '{} for the authorities that this machine trusts, or {"ca":"FILE.pem","cert":"FILE.pem","key":"FILE.pem"}, each optional'

/** From the text of `KAFKA_SASL`; null without one. Throws an `Error` that says what was expected. */
export function parseSasl(text: string): KafkaSecurity['sasl'] | null {
  if (text === '') return null
  const { mechanism, username, password } = objectOf(text, SASL)
  const known = MECHANISMS.find((one) => one === mechanism)
  if (!known || !username || !password) throw new Error(`expected ${SASL}`)
  return { mechanism: known, username, password } as KafkaSecurity['sasl']
}

/** From the text of `KAFKA_TLS`; null without one. Throws an `Error` that says what was expected, or which file cannot be read. */
export function parseTls(text: string): Exclude<KafkaSecurity['ssl'], boolean> | null {
  if (text === '') return null
  const given = objectOf(text, TLS)
  const files = Object.entries(given)
  if (files.some(([name]) => !['ca', 'cert', 'key'].includes(name)) || !given.cert !== !given.key)
    throw new Error(`expected ${TLS}; cert and key together`)
  return Object.fromEntries(files.map(([name, file]) => [name, readFileSync(file)]))
}

/** An object of texts. */
function objectOf(text: string, expected: string): Record<string, string> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {}
  const plain = typeof value === 'object' && value !== null && !Array.isArray(value)
  // What was given is not repeated: it has a password in it.
  if (!plain || !Object.values(value as object).every((each) => typeof each === 'string'))
    throw new Error(`expected ${expected}`)
  return value as Record<string, string>
}
