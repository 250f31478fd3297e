// Every setting of the service: environment variable = type + default + what it is for. Read once at start; all errors
// are reported together. The README's table is printed from here (`node src/main.ts settings`).
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type KafkaSecurity, parseSasl, parseTls } from '../connectors/kafka/security.ts'
import { type ApiKey, parseApiKeys } from './api/access/api-key.ts'
import { type CommandKeys, parseCommandKeys } from './job/command-signature.ts'
import { addressRule } from './webhook/addresses.ts'
import { parseSecrets, type WebhookSettings } from './webhook/settings.ts'

type Kind = 'text' | 'integer' | 'number' | 'json'

interface Setting {
  readonly kind: Kind
  readonly fallback?: string
  readonly min?: number
  readonly max?: number
  readonly about: string
}

export const SETTINGS = {
  PORT: { kind: 'integer', fallback: '8080', min: 0, max: 65_535, about: 'port of the REST API and dashboard' },
  HOST: {
    kind: 'text',
    fallback: '127.0.0.1',
    about: 'address that the API listens on; other than loopback needs `API_KEYS` or `API_KEYS_FILE`',
  },
  API_KEYS: {
    kind: 'json',
    about:
      'hashed API keys as a JSON array, see [API keys](#api-keys); with no keys, everyone on this machine is tenant `default`',
  },
  API_KEYS_FILE: { kind: 'text', about: 'file with such an array, read again when it changes' },
  COMMAND_KEYS: {
    kind: 'json',
    about:
      'JSON object tenant → secret, or list of secrets of which the first signs: records of these tenants on `commands.v1` must then be signed; with `*`, the secret of the service itself, those of every tenant',
  },
  KAFKA_BROKERS: {
    kind: 'text',
    about: 'bootstrap brokers, comma-separated; unset: an embedded single-node Apache Kafka',
  },
  KAFKA_SASL: {
    kind: 'json',
    about:
      'login at the brokers: `{"mechanism":"scram-sha-512","username":"…","password":"…"}`, or `scram-sha-256`, or `plain`; see [A secured Kafka](#a-secured-kafka)',
  },
  KAFKA_TLS: {
    kind: 'json',
    about:
      'TLS to the brokers: `{}` with the authorities that this machine trusts, or PEM files: `{"ca":"…","cert":"…","key":"…"}`',
  },
  KAFKA_PORT: { kind: 'integer', fallback: '19092', min: 1, max: 65_535, about: 'port of the embedded Kafka' },
  KAFKA_TOPIC_PREFIX: {
    kind: 'text',
    fallback: 'inference.',
    about: 'prefix of every topic, group and transactional id',
  },
  KAFKA_REPLICATION: {
    kind: 'integer',
    fallback: '-1',
    min: -1,
    max: 9,
    about: "replication factor of new topics; -1: the cluster's default",
  },
  KAFKA_SESSION_TIMEOUT_MS: {
    kind: 'integer',
    fallback: '10000',
    min: 1_000,
    max: 300_000,
    about: 'silence after which a worker is taken for dead and its lanes move',
  },
  DATABASE_URL: { kind: 'text', about: 'Postgres URL of connection `warehouse`; unset: an embedded Postgres' },
  POSTGRES_PORT: { kind: 'integer', fallback: '15432', min: 1, max: 65_535, about: 'port of the embedded Postgres' },
  CONNECTIONS: { kind: 'json', fallback: '{}', about: 'more databases: JSON object name → URL' },
  OUTPUT_ROOTS: {
    kind: 'text',
    about:
      'where file results may lie: comma-separated `file://` and `s3://bucket/prefix` roots; default `DATA_DIR/output`',
  },
  S3_ENDPOINT: { kind: 'text', about: 'URL of an S3-compatible store; unset: AWS. Credentials come by the AWS chain' },
  S3_REGION: { kind: 'text', fallback: 'us-east-1', about: 'region of the S3 store' },
  SCHEMA_REGISTRY_URL: {
    kind: 'text',
    about: 'Confluent-compatible schema registry, for Kafka results and commands in Avro',
  },
  MODEL_STORE: {
    kind: 'text',
    about: 'directory that holds model bytes, shared by all processes; default `DATA_DIR/models`',
  },
  DATA_DIR: { kind: 'text', fallback: '.data', about: 'where the embedded servers, models and local results live' },
  SCORERS: {
    kind: 'integer',
    min: 1,
    max: 64,
    about: 'scorer processes that `npm start` runs; default half of the cores, from 2 to 4 where there are so many',
  },
  SCORER_POOL: { kind: 'text', fallback: 'cpu', about: 'pool that a scorer joins: `cpu` or `gpu`' },
  SCORER_PROVIDERS: {
    kind: 'text',
    about:
      "ONNX Runtime's execution providers of a scorer, best first, comma-separated: `cpu`, `cuda`, …; default `cpu`, in the gpu pool `cuda,cpu`",
  },
  SINK_DESTINATIONS: {
    kind: 'text',
    fallback: 'table,files,kafka',
    about: 'kinds of destination that a sink process serves: `table`, `files`, `kafka`',
  },
  BATCH_MAX_CONCURRENT_JOBS: {
    kind: 'integer',
    fallback: '3',
    min: 1,
    max: 1_000,
    about: 'jobs of a tenant that run at the same time; further ones wait as `submitted`',
  },
  BATCH_DEFAULT_PARALLELISM: {
    kind: 'integer',
    fallback: '4',
    min: 1,
    max: 16,
    about: 'lanes of a job that names no `parallelism`',
  },
  BATCH_MAX_INPUT_ROWS: {
    kind: 'integer',
    fallback: '10000000',
    min: 1,
    max: 1e12,
    about: 'rows that one job may read',
  },
  BATCH_RESULT_TTL_HOURS: {
    kind: 'number',
    fallback: '168',
    min: 0,
    max: 1e6,
    about: 'hours after its end that a job, its errors and the files that it wrote are kept; tables and topics stay',
  },
  WEBHOOK_SECRETS: {
    kind: 'json',
    about:
      'JSON object tenant → secret (`whsec_` and base64), or a list of two while it is changed; a tenant without one has no webhooks',
  },
  WEBHOOK_PRIVATE_NETWORKS: {
    kind: 'text',
    about:
      'networks that webhooks may go to although they are not public, also by plain http: comma-separated CIDRs, e.g. `10.1.0.0/16`',
  },
  WEBHOOK_RETRY_HOURS: {
    kind: 'number',
    fallback: '24',
    min: 0,
    max: 720,
    about: "hours after a job's end for which its webhook is tried again, if it cannot be delivered",
  },
  LOG_LEVEL: { kind: 'text', fallback: 'info', about: '`debug`, `info`, `warn`, `error` or `silent`' },
} as const satisfies Record<string, Setting>

export interface Config {
  readonly port: number
  readonly host: string
  readonly apiKeys: readonly ApiKey[]
  /** Where more keys are, for the API to read; with neither, requests need none. */
  readonly apiKeysFile: string | null
  /** Secrets that sign commands on Kafka; empty: none are signed. */
  readonly commandKeys: CommandKeys
  /** Empty: run the embedded Kafka. */
  readonly kafkaBrokers: readonly string[]
  /** How the service logs in there. */
  readonly security: KafkaSecurity
  readonly kafkaPort: number
  readonly topicPrefix: string
  readonly kafkaReplication: number
  readonly sessionTimeoutMs: number
  /** Connection name → URL; without `warehouse`, an embedded Postgres stands in for it. */
  readonly connections: Readonly<Record<string, string>>
  readonly postgresPort: number
  readonly outputRoots: readonly string[]
  readonly s3: { readonly endpoint: string | null; readonly region: string }
  readonly registryUrl: string | null
  readonly modelStore: string
  readonly dataDir: string
  readonly scorers: number
  readonly scorerPool: 'cpu' | 'gpu'
  /** Best first; at least one. */
  readonly scorerProviders: readonly string[]
  readonly sinkKinds: readonly ('table' | 'files' | 'kafka')[]
  readonly maxConcurrentJobs: number
  readonly defaultParallelism: number
  readonly maxInputRows: number
  readonly resultTtlHours: number
  readonly webhooks: WebhookSettings
  readonly logLevel: string
}

/** Thrown with every wrong setting in its message. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`wrong settings:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * One process scores one chunk at a time, so scoring is as wide as there are scorers; the other roles and Kafka want cores, too, and
 * a job has four lanes unless it asks for more.
 */
export function defaultScorers(cores: number): number {
  return Math.min(cores, Math.max(2, Math.min(4, Math.floor(cores / 2))))
}

/** Reads the settings from an environment. Throws `ConfigError`. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = []
  const text = (name: keyof typeof SETTINGS): string => {
    const setting: Setting = SETTINGS[name]
    const given = env[name]
    return given === undefined || given === '' ? (setting.fallback ?? '') : given
  }
  const number = (name: keyof typeof SETTINGS): number => {
    const setting: Setting = SETTINGS[name]
    const value = Number(text(name))
    const whole = setting.kind !== 'integer' || Number.isSafeInteger(value)
    if (!Number.isFinite(value) || !whole || value < (setting.min ?? value) || value > (setting.max ?? value)) {
      problems.push(
        `${name}: expected ${setting.kind === 'integer' ? 'a whole number' : 'a number'} from ${setting.min} to ${setting.max}, got ${text(name)}`,
      )
    }
    return value
  }
  const list = (name: keyof typeof SETTINGS): string[] =>
    text(name)
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
  const oneOf = <T extends string>(name: keyof typeof SETTINGS, value: string, allowed: readonly T[]): T => {
    if (!(allowed as readonly string[]).includes(value))
      problems.push(`${name}: expected ${allowed.join(' or ')}, got ${value}`)
    return value as T
  }
  const texts = (name: keyof typeof SETTINGS): Record<string, string> => {
    try {
      const value: unknown = JSON.parse(text(name) || '{}')
      const plain = typeof value === 'object' && value !== null && !Array.isArray(value)
      if (plain && Object.values(value).every((entry) => typeof entry === 'string'))
        return value as Record<string, string>
    } catch {}
    problems.push(`${name}: expected a JSON object of texts`)
    return {}
  }
  const apiKeys = (): readonly ApiKey[] => {
    const parsed = parseApiKeys(text('API_KEYS') || '[]')
    if ('keys' in parsed) return parsed.keys
    problems.push(...parsed.problems.map((problem) => `API_KEYS: ${problem}`))
    return []
  }

  /** What is parsed elsewhere. */
  const valid = <T>(name: keyof typeof SETTINGS, parse: () => T): T | undefined => {
    try {
      return parse()
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`)
      return undefined
    }
  }
  const commandKeys = (): CommandKeys => {
    const parsed = parseCommandKeys(text('COMMAND_KEYS') || '{}')
    if ('keys' in parsed) return parsed.keys
    problems.push(`COMMAND_KEYS: ${parsed.problem}`)
    return {}
  }

  const security = (): KafkaSecurity => {
    const sasl = valid('KAFKA_SASL', () => parseSasl(text('KAFKA_SASL')))
    const ssl = valid('KAFKA_TLS', () => parseTls(text('KAFKA_TLS')))
    for (const name of ['KAFKA_SASL', 'KAFKA_TLS'] as const)
      if (text(name) && !text('KAFKA_BROKERS'))
        problems.push(`${name}: needs KAFKA_BROKERS; the embedded Kafka has no logins`)
    return { ...(sasl && { sasl }), ...(ssl && { ssl }) }
  }

  const dataDir = resolve(text('DATA_DIR'))
  const databaseUrl = text('DATABASE_URL')
  const roots = list('OUTPUT_ROOTS')
  const scorerPool = oneOf('SCORER_POOL', text('SCORER_POOL'), ['cpu', 'gpu'])
  const providers = list('SCORER_PROVIDERS')
  const config: Config = {
    port: number('PORT'),
    host: text('HOST'),
    apiKeys: apiKeys(),
    apiKeysFile: text('API_KEYS_FILE') || null,
    commandKeys: commandKeys(),
    kafkaBrokers: list('KAFKA_BROKERS'),
    security: security(),
    kafkaPort: number('KAFKA_PORT'),
    topicPrefix: text('KAFKA_TOPIC_PREFIX'),
    kafkaReplication: number('KAFKA_REPLICATION'),
    sessionTimeoutMs: number('KAFKA_SESSION_TIMEOUT_MS'),
    connections: { ...texts('CONNECTIONS'), ...(databaseUrl ? { warehouse: databaseUrl } : {}) },
    postgresPort: number('POSTGRES_PORT'),
    outputRoots: (roots.length ? roots : [pathToFileURL(resolve(dataDir, 'output')).href]).map((root) =>
      root.endsWith('/') ? root : `${root}/`,
    ),
    s3: { endpoint: text('S3_ENDPOINT') || null, region: text('S3_REGION') },
    registryUrl: text('SCHEMA_REGISTRY_URL') || null,
    modelStore: text('MODEL_STORE') || resolve(dataDir, 'models'),
    dataDir,
    scorers: text('SCORERS') === '' ? defaultScorers(availableParallelism()) : number('SCORERS'),
    scorerPool,
    scorerProviders: providers.length ? providers : scorerPool === 'gpu' ? ['cuda', 'cpu'] : ['cpu'],
    sinkKinds: list('SINK_DESTINATIONS').map((kind) => oneOf('SINK_DESTINATIONS', kind, ['table', 'files', 'kafka'])),
    maxConcurrentJobs: number('BATCH_MAX_CONCURRENT_JOBS'),
    defaultParallelism: number('BATCH_DEFAULT_PARALLELISM'),
    resultTtlHours: number('BATCH_RESULT_TTL_HOURS'),
    maxInputRows: number('BATCH_MAX_INPUT_ROWS'),
    webhooks: {
      secrets: valid('WEBHOOK_SECRETS', () => parseSecrets(text('WEBHOOK_SECRETS') || '{}')) ?? new Map(),
      privateNetworks: list('WEBHOOK_PRIVATE_NETWORKS'),
      retryHours: number('WEBHOOK_RETRY_HOURS'),
    },
    logLevel: oneOf('LOG_LEVEL', text('LOG_LEVEL'), ['debug', 'info', 'warn', 'error', 'silent']),
  }
  valid('WEBHOOK_PRIVATE_NETWORKS', () => addressRule(config.webhooks.privateNetworks))
  const loopback = ['127.0.0.1', 'localhost', '::1'].includes(config.host)
  if (!loopback && config.apiKeys.length === 0 && config.apiKeysFile === null) {
    problems.push(
      `HOST: ${config.host} is reachable from other machines, so API_KEYS or API_KEYS_FILE must be set (\`node src/main.ts api-key <tenant>\` makes a key)`,
    )
  }
  if (problems.length) throw new ConfigError(problems)
  return config
}
