// The one program: `node src/main.ts api|controller|reader|scorer|sink` runs one role; `all` runs one process for each,
// with an embedded Kafka and Postgres where none is configured; `settings` prints the table of settings, `api-key` makes a key.
import { pino } from 'pino'
import { type Config, ConfigError, readConfig, SETTINGS } from './config.ts'
import { exit } from './exit.ts'
import { createKafkaClient } from './kafka/client.ts'
import { ensureTopics } from './kafka/topic-admin.ts'
import { endWithSupervisor, type ProcessContext, type RunningRole, runRole } from './process.ts'
import { superviseAll } from './supervisor.ts'

/** Each role is loaded only by the process that runs it: the scorer's runtime alone is 60 MB. */
const ROLE_STARTERS: Record<string, () => Promise<(context: ProcessContext) => Promise<RunningRole>>> = {
  api: async () => (await import('./api/api.ts')).startApi,
  controller: async () => (await import('./controller/controller.ts')).startController,
  reader: async () => (await import('./reader/reader.ts')).startReader,
  scorer: async () => (await import('./scorer/scorer.ts')).startScorer,
  sink: async () => (await import('./sink/sink.ts')).startSink,
}

async function main(what: string | undefined): Promise<void> {
  if (what === 'settings') return printSettings()
  if (what === 'api-key') return printApiKey(process.argv.slice(3))
  const config = readConfig(process.env)
  const log = pino({ level: config.logLevel, base: { role: what, pid: process.pid } })
  if (what === 'all') return runAll(config)
  endWithSupervisor()
  const load = what === undefined ? undefined : ROLE_STARTERS[what]
  if (!load)
    throw new ConfigError([
      `expected a role: ${[...Object.keys(ROLE_STARTERS), 'all'].join(', ')}; got ${what ?? 'none'}`,
    ])
  if (!config.kafkaBrokers.length)
    throw new ConfigError(['KAFKA_BROKERS: a single role needs a Kafka; `npm start` brings an embedded one'])
  await ensureTopics(
    createKafkaClient({ ...config, brokers: config.kafkaBrokers }, `setup-${what}`, log),
    config.kafkaReplication,
  )
  await runRole(what as keyof typeof ROLE_STARTERS & Parameters<typeof runRole>[0], config, log, await load())
}

async function printApiKey(args: readonly string[]): Promise<void> {
  const { apiKeyCommand } = await import('./api/access/api-key-command.ts')
  const made = apiKeyCommand(args)
  if ('problems' in made) throw new ConfigError(made.problems)
  console.error('The key, which is shown only now, and its entry for API_KEYS or API_KEYS_FILE:')
  for (const line of made.lines) console.log(line)
}

/** Every role on this machine, until SIGTERM or Ctrl-C. */
async function runAll(config: Config): Promise<void> {
  const log = pino({ level: config.logLevel, base: { role: 'all', pid: process.pid } })
  const stopping = new AbortController()
  process.once('SIGTERM', () => stopping.abort())
  process.once('SIGINT', () => stopping.abort())
  // A program that started it with a channel (a bench) has ended without a word.
  process.once('disconnect', () => stopping.abort())
  // Said now rather than by an API that starts again and again.
  const { KeyRing } = await import('./api/access/key-ring.ts')
  await KeyRing.open(config.apiKeys, config.apiKeysFile, log)
  // The only place where the service knows its embedded servers, and only when they are asked for.
  const { startEmbedded } = await import('../embedded/embedded.ts')
  const embedded = await startEmbedded(config)
  try {
    const complete: Config = {
      ...config,
      kafkaBrokers: embedded.kafkaBrokers,
      connections: { ...config.connections, warehouse: embedded.databaseUrl },
    }
    await ensureTopics(
      createKafkaClient({ ...complete, brokers: complete.kafkaBrokers }, 'setup', log),
      config.kafkaReplication,
    )
    await superviseAll(complete, log, stopping.signal, embedded.crashed)
  } finally {
    await embedded.stop()
  }
}

function printSettings(): void {
  console.log('| setting | default | meaning |\n|---|---|---|')
  for (const [name, setting] of Object.entries(SETTINGS)) {
    console.log(`| \`${name}\` | ${'fallback' in setting ? `\`${setting.fallback}\`` : '–'} | ${setting.about} |`)
  }
}

try {
  await main(process.argv[2])
} catch (error) {
  // What the user can mend is said in a line; anything else keeps its stack.
  const plain = error instanceof ConfigError || (error as Error).name === 'EmbeddedServerError'
  const refused = (error as Error).name === 'KafkaJSSASLAuthenticationError'
  if (refused) console.error(`KAFKA_SASL: the brokers refuse the login: ${(error as Error).message}`)
  else console.error(plain ? (error as Error).message : error)
  process.exitCode = 1
}
exit()
