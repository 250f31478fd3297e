// The settings: defaults, what is refused, and that everything wrong is said at once.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ConfigError, defaultScorers, readConfig, SETTINGS } from '../src/config.ts'
import { keySetting } from './harness/keys.ts'

/** What is wrong with an environment, one line each. */
function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

describe('defaults', () => {
  test('an empty environment is a service on this machine alone', () => {
    expect(readConfig({})).toMatchObject({
      port: 8080,
      host: '127.0.0.1',
      apiKeys: [],
      apiKeysFile: null,
      kafkaBrokers: [],
      kafkaPort: 19092,
      topicPrefix: 'inference.',
      connections: {},
      dataDir: resolve('.data'),
      modelStore: resolve('.data/models'),
      outputRoots: [`${pathToFileURL(resolve('.data/output')).href}/`],
      scorers: defaultScorers(availableParallelism()),
      maxConcurrentJobs: 3,
      defaultParallelism: 4,
      maxInputRows: 10_000_000,
      logLevel: 'info',
    })
  })

  test('an empty text is as good as none', () => {
    const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, '']))
    expect(readConfig(empty)).toEqual(readConfig({}))
  })

  test('a scorer of the gpu pool computes with CUDA first, of the cpu pool on the CPU; the setting says otherwise', () => {
    expect(readConfig({}).scorerProviders).toEqual(['cpu'])
    expect(readConfig({ SCORER_POOL: 'gpu' }).scorerProviders).toEqual(['cuda', 'cpu'])
    expect(readConfig({ SCORER_POOL: 'gpu', SCORER_PROVIDERS: 'cpu' }).scorerProviders).toEqual(['cpu'])
  })

  test('scorers take half of the cores, but two of two and no more than a job has lanes', () => {
    expect([1, 2, 3, 4, 6, 8, 64].map(defaultScorers)).toEqual([1, 2, 2, 2, 3, 4, 4])
    expect(readConfig({ SCORERS: '1' }).scorers).toBe(1)
  })

  test('what lies under DATA_DIR moves with it', () => {
    expect(readConfig({ DATA_DIR: '/var/lib/scoreline' })).toMatchObject({
      modelStore: '/var/lib/scoreline/models',
      outputRoots: ['file:///var/lib/scoreline/output/'],
    })
  })
})

describe('values', () => {
  test('lists are cut at commas, roots end in a slash', () => {
    const config = readConfig({
      KAFKA_BROKERS: ' a:9092, b:9092 ,',
      OUTPUT_ROOTS: 'file:///srv/one,file:///srv/two/',
      SINK_DESTINATIONS: 'files',
    })
    expect(config).toMatchObject({
      kafkaBrokers: ['a:9092', 'b:9092'],
      outputRoots: ['file:///srv/one/', 'file:///srv/two/'],
      sinkKinds: ['files'],
    })
  })

  test('DATABASE_URL is the connection warehouse, beside the others', () => {
    const CONNECTIONS = JSON.stringify({ lake: 'postgres://lake', warehouse: 'postgres://old' })
    expect(readConfig({ CONNECTIONS }).connections).toEqual({ lake: 'postgres://lake', warehouse: 'postgres://old' })
    expect(readConfig({ CONNECTIONS, DATABASE_URL: 'postgres://new' }).connections).toEqual({
      lake: 'postgres://lake',
      warehouse: 'postgres://new',
    })
  })

  const limited = Object.entries(SETTINGS).flatMap(([name, setting]) =>
    'min' in setting ? [{ name, min: setting.min, max: setting.max, whole: setting.kind === 'integer' }] : [],
  )
  test.each(limited)('$name is a number from $min to $max, a whole one if it must be', ({ name, min, max, whole }) => {
    for (const value of [min, max]) expect(problemsOf({ [name]: String(value) })).toEqual([])
    if (!whole) expect(problemsOf({ [name]: `${min}.5` })).toEqual([])
    const wrong = [String(min - 1), String(max + 1), 'many', 'NaN', 'Infinity', '1e99', ...(whole ? [`${min}.5`] : [])]
    for (const value of wrong)
      expect(problemsOf({ [name]: value })).toEqual([
        `${name}: expected a ${whole ? 'whole ' : ''}number from ${min} to ${max}, got ${value}`,
      ])
  })

  test.each([
    ['SCORER_POOL', 'tpu', 'cpu or gpu'],
    ['SINK_DESTINATIONS', 'tables', 'table or files or kafka'],
    ['LOG_LEVEL', 'verbose', 'debug or info or warn or error or silent'],
  ])('%s = %s is refused', (name, value, allowed) => {
    const [problem, ...more] = problemsOf({ [name]: value })
    expect(problem).toMatch(new RegExp(`^${name}: expected .*, got ${value}$`))
    for (const word of allowed.split(' or ')) expect(problem).toContain(word)
    expect(more).toEqual([])
  })

  test.each(['{', '[]', '"key"', 'null', '7', '{"key":5}', '{"key":null}', '{"key":{"a":"b"}}'])(
    'CONNECTIONS is an object of texts, not %s; what came may be secret and is not repeated',
    (value) => expect(problemsOf({ CONNECTIONS: value })).toEqual(['CONNECTIONS: expected a JSON object of texts']),
  )
})

describe('webhooks', () => {
  const bytes = (fill: string) => Buffer.alloc(24, fill)
  const secret = (fill: string) => `whsec_${bytes(fill).toString('base64')}`

  test('a tenant has a secret, or two; networks are named', () => {
    const { secrets, privateNetworks } = readConfig({
      WEBHOOK_SECRETS: JSON.stringify({ acme: secret('a'), globex: [secret('b'), secret('c')] }),
      WEBHOOK_PRIVATE_NETWORKS: '10.1.0.0/16, fd00:1::/32',
    }).webhooks
    expect([...secrets]).toEqual([
      ['acme', [bytes('a')]],
      ['globex', [bytes('b'), bytes('c')]],
    ])
    expect(privateNetworks).toEqual(['10.1.0.0/16', 'fd00:1::/32'])
  })

  test.each([
    ['{"acme":"whsec_', 'expected a JSON object'],
    ['["whsec_c2VjcmV0"]', 'expected a JSON object'],
    ['{"acme":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}', 'acme: expected whsec_ and the base64 of 24 to 64 random bytes'],
    ['{"acme":"whsec_c2VjcmV0"}', 'acme: expected whsec_ and the base64 of 24 to 64'],
    ['{"acme":"whsec_c2VjcmV0 c2VjcmV0c2VjcmV0c2VjcmV0"}', 'acme: expected whsec_'],
    ['{"acme":["whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",7]}', 'acme: expected whsec_'],
    ['{"acme":[]}', 'acme: expected a secret, got an empty list'],
  ])('%s is refused, and the secret is not repeated', (WEBHOOK_SECRETS, reason) => {
    const [problem = '', ...more] = problemsOf({ WEBHOOK_SECRETS })
    expect(problem).toContain(`WEBHOOK_SECRETS: ${reason}`)
    expect(problem).not.toContain('c2VjcmV0')
    expect(more).toEqual([])
  })

  test('what is no network is named', () => {
    expect(problemsOf({ WEBHOOK_PRIVATE_NETWORKS: '10.1.0.0/16,intranet' })).toEqual([
      'WEBHOOK_PRIVATE_NETWORKS: expected networks such as 10.1.0.0/16 or fd00:1::/32, got intranet',
    ])
  })
})

describe('who may send commands by Kafka', () => {
  test('a tenant has a secret, or several while it is changed', () => {
    const COMMAND_KEYS = '{"acme":"first secret of acme","*":["one of the service","the one before it"]}'
    expect(readConfig({ COMMAND_KEYS }).commandKeys).toEqual({
      acme: ['first secret of acme'],
      '*': ['one of the service', 'the one before it'],
    })
    expect(readConfig({}).commandKeys).toEqual({})
  })

  test.each([
    '{"acme":"s3cret"',
    '["s3cret"]',
    '{"acme":"s3cret"}',
    '{"acme":[]}',
    '{"acme":["long enough a s3cret",7]}',
  ])('%s is refused, and the secret is not repeated', (COMMAND_KEYS) => {
    const [problem = '', ...more] = problemsOf({ COMMAND_KEYS })
    expect(problem).toMatch(/^COMMAND_KEYS: expected a JSON object tenant \(or \*\) → secret or list of secrets/)
    expect(problem).not.toContain('s3cret')
    expect(more).toEqual([])
  })
})

describe('who may reach the API', () => {
  const API_KEYS = keySetting({ s3cret: 'acme' })

  test.each(['127.0.0.1', 'localhost', '::1'])('%s needs no keys', (HOST) => {
    expect(readConfig({ HOST }).host).toBe(HOST)
  })

  test.each(['0.0.0.0', '::', '10.0.0.5', 'scoreline.example.com', '127.0.0.1.example.com', 'localhost.example.com'])(
    '%s without keys is refused, with keys it is not',
    (HOST) => {
      expect(problemsOf({ HOST })).toEqual([
        `HOST: ${HOST} is reachable from other machines, so API_KEYS or API_KEYS_FILE must be set (\`node src/main.ts api-key <tenant>\` makes a key)`,
      ])
      expect(problemsOf({ HOST, API_KEYS: '[]' })).toHaveLength(1)
      expect(readConfig({ HOST, API_KEYS })).toMatchObject({ host: HOST, apiKeys: [{ tenantId: 'acme' }] })
      expect(readConfig({ HOST, API_KEYS_FILE: 'keys.json' })).toMatchObject({ host: HOST, apiKeysFile: 'keys.json' })
    },
  )

  test('keys that cannot be read do not open the door', () => {
    expect(problemsOf({ HOST: '0.0.0.0', API_KEYS: 's3cret' })).toHaveLength(2)
  })
})

describe('a secured Kafka', () => {
  const sasl = { mechanism: 'scram-sha-512', username: 'scoreline', password: 's3cret' }
  const KAFKA_BROKERS = 'kafka:9093'
  const certificate = resolve(import.meta.dirname, 'fixtures/tls/localhost.pem')

  test('login and certificates are given to the client', () => {
    expect(readConfig({ KAFKA_BROKERS }).security).toEqual({})
    const given = { KAFKA_BROKERS, KAFKA_SASL: JSON.stringify(sasl), KAFKA_TLS: JSON.stringify({ ca: certificate }) }
    expect(readConfig(given).security).toEqual({ sasl, ssl: { ca: readFileSync(certificate) } })
    expect(readConfig({ KAFKA_BROKERS, KAFKA_TLS: '{}' }).security).toEqual({ ssl: {} })
  })

  test('what cannot be meant is said, without the password', () => {
    for (const wrong of ['s3cret', '[]', '{}', JSON.stringify({ ...sasl, mechanism: 'gssapi' }), '{"password":7}']) {
      const [problem, ...more] = problemsOf({ KAFKA_BROKERS, KAFKA_SASL: wrong })
      expect(problem).toMatch(/^KAFKA_SASL: expected \{"mechanism":"plain\|scram-sha-256\|scram-sha-512","username"/)
      expect(problem).not.toContain('s3cret')
      expect(more).toEqual([])
    }
    expect(problemsOf({ KAFKA_BROKERS, KAFKA_TLS: '{"ca":"/not/there.pem"}' })[0]).toMatch(/ENOENT.*not\/there/)
    expect(problemsOf({ KAFKA_BROKERS, KAFKA_TLS: '{"cert":"a.pem"}' })[0]).toMatch(/cert and key together/)
    expect(problemsOf({ KAFKA_TLS: '{}' })).toEqual([
      'KAFKA_TLS: needs KAFKA_BROKERS; the embedded Kafka has no logins',
    ])
  })
})

test('everything wrong is reported together, one line each', () => {
  const wrong = {
    PORT: '-1',
    HOST: '0.0.0.0',
    API_KEYS: '{}',
    KAFKA_PORT: 'x',
    CONNECTIONS: 'none',
    SCORERS: '0',
    SCORER_POOL: 'tpu',
    SINK_DESTINATIONS: 'table,tapes',
    BATCH_MAX_CONCURRENT_JOBS: '0',
    BATCH_DEFAULT_PARALLELISM: '17',
    BATCH_MAX_INPUT_ROWS: '1.5',
    LOG_LEVEL: 'loud',
  }
  expect(
    problemsOf(wrong)
      .map((problem) => problem.split(':')[0])
      .sort(),
  ).toEqual(Object.keys(wrong).sort())
  expect(() => readConfig(wrong)).toThrow(/^wrong settings:\n( {2}[A-Z_]+: .+\n?){12}$/)
})
