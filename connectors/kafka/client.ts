// The connector's connection to Kafka, and what the client throws turned into the connectors' errors.
import type { Admin } from 'kafkajs'
import { ConnectorError, type ConnectorSettings } from '../connector.ts'
import { Kafka, KafkaJSAggregateError, KafkaJSError, KafkaJSNonRetriableError } from './kafkajs/library.ts'

export interface KafkaConnection {
  readonly kafka: Kafka
  /** Full name of a group or transactional id of the service. */
  name(suffix: string): string
  /** Works with an admin client that stays connected between calls; may repeat the work. Throws `ConnectorError`. */
  withAdmin<T>(code: string, work: (admin: Admin) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Makes a client; it connects when it is first used. */
export function kafkaConnection({ kafka: settings }: ConnectorSettings): KafkaConnection {
  const kafka = new Kafka({
    clientId: 'scoreline-kafka-sink',
    brokers: [...settings.brokers],
    ...settings.security,
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 50, multiplier: 2, retries: 6, maxRetryTime: 2_000 },
    // It logs as errors what it then retries; what remains is thrown, and told by whoever called.
    logCreator: () => () => {},
  })
  let shared: Promise<Admin> | undefined
  const connected = async () => {
    const admin = kafka.admin()
    await admin.connect()
    return admin
  }
  const forget = async () => {
    const last = shared
    shared = undefined
    await last?.then((admin) => admin.disconnect()).catch(() => {})
  }
  async function withAdmin<T>(code: string, work: (admin: Admin) => Promise<T>): Promise<T> {
    for (let left = ANSWER_TRIES; ; left--) {
      shared ??= connected()
      const mine = shared
      try {
        return await work(await mine)
      } catch (error) {
        const failure = connectorError(error, code)
        const answered = failure instanceof ConnectorError && typeOf(rootOf(error)) !== ''
        // A connection that broke is not mended by the client in every case, and a topic that was deleted stays among those that it
        // asks for, whatever the call is about: the next call gets a new one.
        const stale = !answered || typeOf(rootOf(error)) === 'UNKNOWN_TOPIC_OR_PARTITION'
        if (stale && shared === mine) await forget()
        if (!answered || !failure.retriable || left === 1) throw failure
        await new Promise((resolve) => setTimeout(resolve, ANSWER_PAUSE_MS))
      }
    }
  }
  return { kafka, name: (suffix) => `${settings.topicPrefix}${suffix}`, withAdmin, close: forget }
}

/** A broker that answers "not mine any more" (a coordinator or leader that moves) is asked again, for about a second. */
const ANSWER_TRIES = 6
const ANSWER_PAUSE_MS = 200

/** Another producer has this transactional id now, or the coordinator gave the transaction up. */
const FENCED = new Set([
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'UNKNOWN_PRODUCER_ID',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
])

/** What is wrong for good, and what to do about it. */
const LASTING: Readonly<Record<string, readonly [code: string, advice: string]>> = {
  MESSAGE_TOO_LARGE: [
    'row_too_large',
    "a row is larger than the topic's max.message.bytes: raise that, or leave columns out",
  ],
  RECORD_LIST_TOO_LARGE: [
    'row_too_large',
    "a row is larger than the topic's max.message.bytes: raise that, or leave columns out",
  ],
  INVALID_RECORD: ['row_refused', 'the topic refuses the record (a compacted topic refuses records without a key)'],
  INVALID_TOPIC_EXCEPTION: ['topic_invalid', 'Kafka refuses the topic: choose another name'],
  POLICY_VIOLATION: [
    'topic_refused',
    'a policy of the cluster refuses the topic: have it created by whoever may, or choose another',
  ],
  INVALID_REPLICATION_FACTOR: [
    'topic_refused',
    "the cluster's default replication factor cannot be met: create the topic first",
  ],
  INVALID_TRANSACTION_TIMEOUT: [
    'transactions_refused',
    "the brokers' transaction.max.timeout.ms is below 15 s: raise it",
  ],
}

/** The error as `ConnectorError`; `code` is what an error that no later call can mend is called. */
export function connectorError(error: unknown, code: string): unknown {
  if (error instanceof ConnectorError) return error
  const cause = rootOf(error)
  if (!(cause instanceof KafkaJSError)) return error
  const type = typeOf(cause)
  const make = (ownCode: string, message: string, retriable: boolean) =>
    new ConnectorError(ownCode, message, { retriable, cause: error })
  if (FENCED.has(type)) return make('lane_taken', `another sink writes this lane: ${cause.message}`, true)
  const lasting = LASTING[type]
  if (lasting) return make(lasting[0], `${lasting[1]} (${cause.message})`, false)
  if (/_AUTHORIZATION_FAILED$|^SASL_|^SECURITY_/.test(type)) {
    const message = `Kafka does not allow it: ${cause.message}. The service needs Read and Write on the topic, Write on its transactional ids, Read and Delete on its groups`
    return make('permission_denied', message, false)
  }
  // UNKNOWN is what a broker answers that came upon an error of its own, as when an owner commits while the next one fences it.
  const passing =
    cause.retriable || type === 'UNKNOWN' || /Connection|Timeout|NotFound|Closed|Metadata/.test(cause.name)
  return passing ? make('kafka_unavailable', cause.message, true) : make(code, cause.message, false)
}

/** Kafka's name of the error; empty for an error of the client. */
export function typeOf(error: unknown): string {
  const { type } = error as { type?: unknown }
  return typeof type === 'string' ? type : ''
}

/** What is inside a "retries exceeded", and the first of several. */
export function rootOf(error: unknown): unknown {
  if (error instanceof KafkaJSAggregateError && error.errors[0]) return rootOf(error.errors[0])
  if (error instanceof KafkaJSNonRetriableError && error.cause instanceof KafkaJSError) return rootOf(error.cause)
  return error
}
