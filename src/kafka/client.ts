// The connection to Kafka: one client for each process, with names under the prefix and the client's log in ours.
import type { KafkaConfig } from 'kafkajs'
import type { Logger } from 'pino'
import { Kafka, logLevel } from '../../connectors/kafka/kafkajs/library.ts'
import type { KafkaSecurity } from '../../connectors/kafka/security.ts'
import type { TopicSpec } from '../../topics/topic.ts'

export interface KafkaSettings {
  readonly brokers: readonly string[]
  readonly topicPrefix: string
  readonly sessionTimeoutMs: number
  readonly security?: KafkaSecurity
}

/** What every part that talks to Kafka is given. */
export interface KafkaClient {
  readonly kafka: Kafka
  readonly sessionTimeoutMs: number
  readonly log: Logger
  /** Full name of a topic, group or transactional id. */
  name(suffix: string): string
  topic(spec: TopicSpec): string
}

// A minute of patience in all: a broker that restarts is waited for, a broker that is gone ends the process, whose
// partitions then move.
const RETRY: NonNullable<KafkaConfig['retry']> = {
  initialRetryTime: 100,
  factor: 0.2,
  multiplier: 2,
  retries: 12,
  maxRetryTime: 10_000,
}

export function createKafkaClient(settings: KafkaSettings, clientId: string, log: Logger): KafkaClient {
  const kafka = new Kafka({
    clientId,
    brokers: [...settings.brokers],
    ...settings.security,
    retry: RETRY,
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => forward(log, entry),
  })
  const name = (suffix: string) => `${settings.topicPrefix}${suffix}`
  return { kafka, sessionTimeoutMs: settings.sessionTimeoutMs, log, name, topic: (spec) => name(spec.name) }
}

// The client logs as errors what it then retries by itself (a rebalance, a concurrent transaction); whoever awaits the
// call gets the error that remains. So its log is for debugging only.
function forward(log: Logger, entry: { namespace: string; log: { message: string; error?: unknown } }): void {
  log.debug({ kafka: entry.namespace, error: entry.log.error }, entry.log.message)
}
