// The local Kafka of `npm start`, the demo, the tests and the benchmarks: a real Apache Kafka, one KRaft node, on 127.0.0.1 only.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { ServerCommand } from './guard.ts'
import { findJava, kafkaJars } from './kafka-jars.ts'
import { freePort, requireFreePort } from './ports.ts'
import { type EmbeddedServer, type EmbeddedServerOptions, startServer } from './server.ts'

const run = promisify(execFile)

export interface KafkaOptions extends EmbeddedServerOptions {
  /** Settings of the broker, beside or over those of ours: an authorizer, say. */
  readonly settings?: BrokerSettings
}

type BrokerSettings = Readonly<Record<string, string | number | boolean>>

export interface EmbeddedKafka extends EmbeddedServer {
  /** What a client connects to: `127.0.0.1:PORT`. */
  readonly brokers: string
}

// Kafka wants a 16-byte id in base64url; a node alone in its cluster may well have a fixed one.
const CLUSTER_ID = 'c2NvcmVsaW5lLWxvY2FsMQ'

// The log itself lives in the page cache; the heap holds requests in flight only. Measured with 64 KiB records on 2 cores: 126 MB/s in and
// 375 MB/s out with 512 MB, 128 and 336 MB/s with 1 GB, at 80 MB more of resident memory.
const HEAP = ['-Xms256m', '-Xmx512m']

// A local broker lives for minutes and shares two cores with the service: the optimizing compiler and a concurrent collector
// cost more there than they give back (2 M rows through it: 1.7 s of CPU instead of 2.5 s, the first job in 7.5 s instead of
// 12.5 s).
const FOR_SHORT_RUNS = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

/**
 * Starts Kafka on the port and resolves when it serves requests. Topics, offsets and records survive a restart.
 * Throws EmbeddedServerError: `port_taken`, `data_dir_in_use`, `not_installed` (Java or Maven), `start_failed` (with the end of its log).
 */
export async function startKafka(options: KafkaOptions): Promise<EmbeddedKafka> {
  const server = await startServer({
    name: 'Kafka',
    options,
    prepare: () => prepare(options),
    readyLine: /Kafka Server started/,
    readyTimeoutMs: 90_000,
  })
  return { ...server, brokers: `127.0.0.1:${options.port}` }
}

async function prepare({ port, dataDir, log, settings }: KafkaOptions): Promise<ServerCommand> {
  await requireFreePort(
    port,
    'Kafka',
    'Set KAFKA_PORT to another port, or KAFKA_BROKERS to the Kafka that is to be used instead of the embedded one.',
  )
  const [java, jars] = await Promise.all([findJava(), kafkaJars(log)])
  const home = resolve(dataDir)
  const settingsFile = join(home, 'server.properties')
  await mkdir(home, { recursive: true })
  await writeFile(
    settingsFile,
    properties({ ...brokerSettings(port, await freePort(), join(home, 'log')), ...settings }),
  )
  const command = [...javaFlags(), '-cp', join(jars, '*')]
  await formatOnce(home, java, [...command, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', settingsFile])
  return {
    command: java,
    args: [...HEAP, ...FOR_SHORT_RUNS, ...command, 'kafka.Kafka', settingsFile],
    cwd: home,
    env: {},
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 15_000,
  }
}

/** Formats the log directory, unless that was done. The marker is written last, so a format cut short is done over. */
async function formatOnce(home: string, java: string, args: readonly string[]): Promise<void> {
  const marker = join(home, 'formatted')
  if (existsSync(marker)) return
  await rm(join(home, 'log'), { recursive: true, force: true })
  await run(java, args)
  await writeFile(marker, '')
}

function javaFlags(): string[] {
  const quiet = '-Dorg.slf4j.simpleLogger'
  return [
    // Warnings and errors, and the one line that says that the broker is up.
    `${quiet}.defaultLogLevel=warn`,
    `${quiet}.log.kafka.server.KafkaRaftServer=info`,
    `${quiet}.showDateTime=true`,
    `${quiet}.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS`,
    '-Djava.awt.headless=true',
  ]
}

/** Everything here that differs from Kafka's defaults, with the reason. */
function brokerSettings(port: number, controllerPort: number, logDir: string): BrokerSettings {
  return {
    // One node that is both broker and controller, reachable from this machine only: it knows neither TLS nor passwords.
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'CLIENT',
    'listener.security.protocol.map': 'CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    listeners: `CLIENT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `CLIENT://127.0.0.1:${port}`,
    'log.dirs': logDir,

    // A topic that nobody declared is a mistake to hear about, not one to create with default settings.
    'auto.create.topics.enable': false,
    'num.partitions': 1,

    // A single node holds the only replica there is.
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    // 50 partitions each by default, all to be created at the first group or transaction: seconds on a laptop.
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.num.partitions': 4,

    // By default an empty group waits 3 s for more members before its first assignment: a start-up delay, here of no use.
    'group.initial.rebalance.delay.ms': 0,
    // Lets a consumer ask for a short session, so that a killed worker's partitions move within a second or two (default: 6 s).
    'group.min.session.timeout.ms': 1000,

    // After a broker was killed its next start waits until the controller has given up the old session: 9 s by default (12 s in all
    // until ready, measured; 5 s with these).
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,

    // A chunk of a wide table is larger than the default 1 MiB; 16 MiB is the most that a record of ours may take.
    'message.max.bytes': 16 << 20,
    'replica.fetch.max.bytes': 16 << 20,
    // A record of nothing into the metadata log, twice a second, which tells other controllers that this one is there: it has none.
    'metadata.max.idle.interval.ms': 0,
    // The cleaner's map takes 128 MB of heap by default: a quarter of ours, for topics with a few thousand keys.
    'log.cleaner.dedupe.buffer.size': 16 << 20,
  }
}

function properties(settings: BrokerSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('')
}
