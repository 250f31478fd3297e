// Commands from clients that the project did not write: Python's with JSON, Avro and signatures, and Kafka's own console
// producer; and the way back, a Python program that follows the job and reads its predictions. With a real registry.
import { execFile } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { findJava, kafkaJars } from '../../embedded/kafka-jars.ts'
import { jobIdOfKey } from '../../src/job/identity.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'
import { type FlakyProxy, startFlakyProxy } from '../harness/flaky-proxy.ts'
import {
  CHURN_FEATURES,
  completed,
  jobsInto,
  recordsOf,
  registerModel,
  run,
  seedCustomers,
  smallJob,
} from '../harness/jobs.ts'
import { python, pythonFile } from '../harness/python.ts'
import { startRegistry, type TestRegistry } from '../harness/registry.ts'
import { kafkaBrokers } from '../harness/servers.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const SECRET = 'a secret of the default tenant'
const FORMER_SECRET = 'what it was until yesterday'
const SERVICE_SECRET = 'the secret of the service itself'
const examples = join(import.meta.dirname, '../../examples/python')

let service: Service
let registry: TestRegistry
/** Between the service and the registry. */
let network: FlakyProxy
let folder: string
/** Topics outlive the test file, so each run has its own. */
let topic: (name: string) => string

beforeAll(async () => {
  registry = await startRegistry()
  network = await startFlakyProxy(registry.url)
  service = await startService({
    name: 'foreign-commands',
    settings: {
      SCHEMA_REGISTRY_URL: new URL(new URL(registry.url).pathname, network.endpoint).href,
      COMMAND_KEYS: JSON.stringify({ default: [SECRET, FORMER_SECRET], '*': SERVICE_SECRET }),
    },
  })
  topic = (name) => `results.${service.prefix}${name}`
  folder = await mkdtemp(join(tmpdir(), 'scoreline-foreign-'))
  await seedCustomers(service, 100)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  return async () => {
    network.stop()
    await rm(folder, { recursive: true, force: true })
  }
})

const signatureBy = (secret: string, value: string) =>
  createHmac('sha256', secret).update(`default.${value}`).digest('hex')

/** What a user of the examples has in the environment. */
const surroundings = (more: Record<string, string> = {}): Record<string, string> => ({
  KAFKA_BROKERS: kafkaBrokers(),
  KAFKA_TOPIC_PREFIX: service.prefix,
  ...more,
})

async function submitInPython(job: JsonObject, key: string, env: Record<string, string>): Promise<string> {
  const file = join(folder, `${key}.json`)
  await writeFile(file, JSON.stringify(job))
  return (await pythonFile(join(examples, 'submit.py'), [file, key], surroundings(env))).trim()
}

function intoTopic(name: string, format: string): JsonObject {
  const { input, ...job } = smallJob('unused')
  const output = { destination: 'kafka', topic: topic(name), format }
  return { ...job, input: { ...input, key_column: 'customer_id' }, output }
}

/** The reasons for which commands with this text in them are dead letters; waits for the first. */
function refusals(text: string): Promise<string[]> {
  return until(async () => {
    const letters = await recordsOf(service, deadLettersTopic.name)
    const found = letters.filter(({ content }) => String(content).includes(text))
    return found.length ? found.map(({ reason }) => reason) : undefined
  })
}

test('over REST nothing changes: the API signs what it sends', async () => {
  expect(await run(service, smallJob('by_rest'))).toMatchObject({ progress: { written_rows: 10 } })
})

test.each([
  ['JSON, signed', 'json', { COMMAND_SECRET: SECRET }],
  ['JSON, signed with the secret that is about to go', 'json', { COMMAND_SECRET: FORMER_SECRET }],
  ['Avro, signed', 'avro', { COMMAND_SECRET: SECRET, AVRO: 'yes' }],
])(
  'a Python producer in %s, and a Python consumer of what came of it',
  async (what, format, { AVRO, ...env }: JsonObject) => {
    const key = what.replaceAll(/\W+/g, '-')
    const registryOf = { SCHEMA_REGISTRY_URL: registry.url }
    const jobId = await submitInPython(intoTopic(key, format), key, { ...env, ...(AVRO ? registryOf : {}) })
    expect(jobId).toBe(jobIdOfKey('default', key))
    const printed = await pythonFile(join(examples, 'follow.py'), [jobId], surroundings(registryOf))
    const rows = printed
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(rows.map(({ customer_id }) => customer_id).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    for (const row of rows)
      expect(row).toMatchObject({ label: expect.any(Number), probabilities_1: expect.any(Number) })
    await completed(service, jobId)
  },
)

test('the consumer says why a job did not complete', async () => {
  const wrong = { ...smallJob('wrong'), model_id: 'no-such-model' }
  const jobId = await submitInPython(wrong, 'wrong', { COMMAND_SECRET: SECRET, SCHEMA_REGISTRY_URL: registry.url })
  await expect(pythonFile(join(examples, 'follow.py'), [jobId], surroundings())).rejects.toThrow(
    /failed.*no-such-model/,
  )
})

const files = (destination: string, more: JsonObject = {}): JsonObject => {
  const { output: _, ...job } = smallJob('unused')
  return { ...job, output: { destination, path: `python-${destination}`, ...more } }
}

test.each([
  ['parquet', {}],
  ['csv', { compression: 'gzip' }],
])('a Python client over REST follows its job and has the %s result in pandas', async (destination, more) => {
  const program = `import json, sys
sys.path.insert(0, sys.argv[1])
import score
states = []
frame = score.Scoreline(sys.argv[2]).score(json.loads(sys.argv[3]), on_progress=states.append)
print(json.dumps({"rows": frame.to_dict("records"), "types": frame.dtypes.astype(str).to_dict(), "states": [s["status"] for s in states]}))`
  const job = JSON.stringify(files(destination, more))
  const { rows, types, states } = await python<JsonObject>(program, [examples, service.url, job])
  expect(types).toEqual({
    customer_id: 'int64',
    label: 'int64',
    probabilities_0: expect.stringContaining('float'),
    probabilities_1: expect.stringContaining('float'),
  })
  expect(rows.map(({ customer_id }: JsonObject) => customer_id).sort((a: number, b: number) => a - b)).toEqual(
    Array.from({ length: 10 }, (_, i) => i + 1),
  )
  for (const row of rows) expect(row.probabilities_0 + row.probabilities_1).toBeCloseTo(1)
  expect(states.at(-1)).toBe('completed')
})

test('the Python client from the shell: the frame, and why a job did not complete', async () => {
  const env = { SCORELINE_URL: service.url }
  const file = join(folder, 'score.json')
  await writeFile(file, JSON.stringify(files('parquet', { path: 'python-shell' })))
  expect(await pythonFile(join(examples, 'score.py'), [file, 'from-the-shell'], env)).toMatch(
    /probabilities_1\n(.+\n){10}$/,
  )
  const { input, ...job } = files('csv', { path: 'python-fails' })
  const query = `SELECT customer_id, tenure, monthly_charges, 1 / (customer_id - 5) AS total_charges FROM customers`
  await writeFile(file, JSON.stringify({ ...job, input: { ...input, query }, config: { retry_count: 0 } }))
  await expect(pythonFile(join(examples, 'score.py'), [file], env)).rejects.toThrow(/is failed: .*division by zero/)
  await writeFile(file, JSON.stringify({ ...job, input, model_id: 'nobody' }))
  await expect(pythonFile(join(examples, 'score.py'), [file], env)).rejects.toThrow(/nobody is not registered/)
})

test.each([
  ['is not signed', {}, /must be signed/],
  ['is signed with another secret', { COMMAND_SECRET: 'a secret of nobody at all' }, /fits none of the secrets/],
])('a command that %s is a dead letter with what to do, in JSON and in Avro', async (what, env, reason) => {
  const [json, avro] = [`${what} (json)`, `${what} (avro)`] as const
  await submitInPython(smallJob('never'), json, env)
  await submitInPython(smallJob('never'), avro, { ...env, SCHEMA_REGISTRY_URL: registry.url })
  for (const key of [json, avro]) expect(await refusals(key)).toEqual([expect.stringMatching(reason)])
  expect(await jobsInto(service, 'never')).toEqual([])
})

test("Kafka's own console producer, to the partition that it likes", async () => {
  const command = { type: 'submit', tenant_id: 'default', idempotency_key: 'console', job: smallJob('by_console') }
  const value = JSON.stringify(command)
  // Without a key the partition is any: most often a wrong one.
  const properties = ['parse.headers=true', 'parse.key=false'].flatMap((each) => ['--reader-property', each])
  const name = `${service.prefix}${commandsTopic.name}`
  const program = 'org.apache.kafka.tools.ConsoleProducer'
  const to = ['--bootstrap-server', kafkaBrokers(), '--topic', name]
  const producing = promisify(execFile)(await findJava(), [
    '-cp',
    `${await kafkaJars()}/*`,
    program,
    ...to,
    ...properties,
  ])
  producing.child.stdin?.end(`scoreline-signature:v1=${signatureBy(SECRET, value)}\t${value}\n`)
  await producing
  expect(await completed(service, jobIdOfKey('default', 'console'))).toMatchObject({ progress: { written_rows: 10 } })
})

test('while the registry is away Avro waits, with what is behind it, and other partitions go on; then it is looked at', async () => {
  // Of a schema that the controller has not asked for yet; on a partition that is not the tenant's.
  const partition = (controlPartition('default') + 1) % CONTROL_PARTITIONS
  const behind = { type: 'submit', tenant_id: 'default', idempotency_key: 'behind', job: smallJob('behind') }
  const value = JSON.stringify(behind)
  const headers = { 'scoreline-signature': `v1=${signatureBy(SECRET, value)}` }
  const garbage = Buffer.from('000000100042', 'hex')
  network.failing = { how: 'reset', methods: ['GET'], times: Number.POSITIVE_INFINITY }
  const producer = service.kafka().producer()
  await producer.connect()
  const messages = [
    { partition, value: garbage },
    { partition, value, headers },
  ]
  await producer.send({ topic: `${service.prefix}${commandsTopic.name}`, messages })
  await producer.disconnect()
  const waits = () =>
    service.processes('controller').some(({ log }) => log.some((line) => line.includes('commands wait')))
  await until(waits, { what: 'the controller to say that commands wait' })
  await run(service, smallJob('meanwhile'))
  expect(await jobsInto(service, 'behind')).toEqual([])
  const letters = async () => {
    const all = await recordsOf(service, deadLettersTopic.name)
    return all.filter(({ origin }) => origin.partition === partition).map(({ reason }) => reason)
  }
  expect(await letters()).toEqual([])

  network.failing = null
  await until(async () => (await jobsInto(service, 'behind')).length, { what: 'the command behind to be taken up' })
  await completed(service, jobIdOfKey('default', 'behind'))
  expect(await letters()).toEqual([expect.stringMatching(/has no schema 4096; register/)])
})
