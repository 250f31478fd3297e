// What every role is given when its process starts, and how a process ends: orderly on SIGTERM, at once on a fatal error.
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { type Connectors, openConnectors } from '../connectors/index.ts'
import type { Role } from '../topics/workers.ts'
import type { Config } from './config.ts'
import { exit } from './exit.ts'
import { Activity } from './kafka/activity.ts'
import { createKafkaClient, type KafkaClient } from './kafka/client.ts'
import { startHeartbeat } from './kafka/heartbeat.ts'
import { LedgerWriter } from './kafka/ledger.ts'
import { openProducer, type RecordProducer } from './kafka/producer.ts'
import { publishSchemas } from './kafka/schemas.ts'
import { type ViewName, Views } from './kafka/views.ts'
import { devicesOf } from './model/devices.ts'
import { collectAtOnce } from './role-flags.ts'

export interface ProcessContext {
  readonly config: Config
  readonly log: Logger
  readonly workerId: string
  readonly client: KafkaClient
  readonly producer: RecordProducer
  readonly ledger: LedgerWriter
  /** Told by the role what it does, for the heartbeat. */
  readonly activity: Activity
  readonly views: Views
  readonly connectors: Connectors
  /** Ends the process: what it owned moves to another. Never returns normal control. */
  readonly onFatal: (error: Error) => void
}

/** A role that runs until it is drained. */
export interface RunningRole {
  /** Where it listens, if it does. */
  readonly url?: string
  /** Partitions or lanes that it owns, for the heartbeat. */
  owned(): number[]
  /** Finishes what is in hand, commits, leaves its groups. */
  drain(): Promise<void>
}

/** What each role must know; every record of a tailed topic costs every process that tails it. */
const TAILED: Record<Role, readonly ViewName[]> = {
  api: ['jobs', 'progress', 'models', 'schedules', 'workers'],
  controller: ['jobs', 'progress', 'models', 'schedules', 'workers'],
  reader: ['jobs', 'progress'],
  scorer: ['jobs', 'models'],
  sink: ['jobs'],
}

/** Connects, runs a role, and resolves when SIGTERM has drained it. */
export async function runRole(
  role: Role,
  config: Config,
  log: Logger,
  start: (context: ProcessContext) => Promise<RunningRole>,
): Promise<void> {
  collectAtOnce(role)
  const workerId = `${role}-${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const onFatal = (error: Error): void => {
    log.fatal({ err: error }, 'fatal: the process ends and its partitions move')
    exit(1)
  }
  const client = createKafkaClient({ ...config, brokers: config.kafkaBrokers }, workerId, log)
  const stopping = stopSignal()
  const connectors = openConnectors({
    connections: config.connections,
    outputRoots: config.outputRoots,
    s3: config.s3,
    kafka: {
      brokers: config.kafkaBrokers,
      topicPrefix: config.topicPrefix,
      registryUrl: config.registryUrl,
      security: config.security,
    },
  })
  const [producer, views] = await Promise.all([openProducer(client), Views.open(client, TAILED[role], onFatal)])
  // Before anything else is written: nobody meets a record that he cannot look up.
  await publishSchemas(producer)
  const ledger = new LedgerWriter(producer, (jobId) => views.isFinished(jobId), onFatal)
  const activity = new Activity()
  const running = await start({ config, log, workerId, client, producer, ledger, activity, views, connectors, onFatal })
  const heartbeat = await startHeartbeat(producer, {
    workerId,
    role,
    ...(role === 'scorer' ? await scorerMeans(config) : { pool: '', providers: [], devices: [] }),
    owned: running.owned,
    activity,
    onFatal,
  })
  log.info({ role }, 'ready')
  process.send?.({ type: 'ready', role, url: running.url })

  await stopping
  log.info({ role }, 'draining')
  await running.drain()
  await ledger.close()
  await heartbeat.stop()
  await Promise.all([views.close(), producer.close(), connectors.close()])
  log.info({ role }, 'stopped')
}

/** What a scorer computes with, for its heartbeat. */
async function scorerMeans({ scorerPool, scorerProviders }: Config) {
  return { pool: scorerPool, providers: scorerProviders, devices: await devicesOf(scorerProviders) }
}

/**
 * Ends the process at once, like a crash, when its supervisor is gone without a word. To be called before anything is
 * waited for: a supervisor may go while its children start.
 */
export function endWithSupervisor(): void {
  process.once('disconnect', () => exit(1))
  if (process.connected === false) exit(1)
}

/** Resolves at SIGTERM or SIGINT. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    // Under a supervisor Ctrl-C reaches the whole terminal group; the supervisor then orders the stop with SIGTERM.
    if (process.send) process.on('SIGINT', () => {})
    else process.once('SIGINT', () => resolve())
  })
}
