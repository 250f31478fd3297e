// Predictions into a topic, end to end: submitted over REST, read by librdkafka as anyone reads committed records; every key
// is there exactly once, also after kill -9 of the sink; and what a crash of the reader means for a topic.
import { beforeAll, expect, test } from 'vitest'
import { countKeys, readTopic } from '../connectors/kafka/reader.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  failed,
  registerModel,
  run,
  seedCustomers,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { startRegistry } from '../harness/registry.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

const ROWS = 300_000
const FEW_ROWS = 2_000
let service: Service
let registryUrl: string
/** Topics outlive the test file, so each run has its own. */
let topic: (name: string) => string

beforeAll(async () => {
  registryUrl = (await startRegistry()).url
  service = await startService({
    name: 'kafka-results',
    settings: { KAFKA_SESSION_TIMEOUT_MS: '3000', SCHEMA_REGISTRY_URL: registryUrl },
  })
  topic = (name) => `results.${service.prefix}${name}`
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

function kafkaJob(output: JsonObject, query = CUSTOMERS): JsonObject {
  const job = churnJob({ query, output: { destination: 'kafka', ...output }, config: { batch_size: 500 } })
  return { ...job, input: { ...job.input, key_column: 'customer_id' } }
}

test('every prediction is a record, in Avro where there is a registry', async () => {
  const few = `${CUSTOMERS} WHERE customer_id <= ${FEW_ROWS}`
  const job = await run(service, kafkaJob({ topic: topic('avro') }, few))
  expect(job.progress).toMatchObject({ processed_rows: FEW_ROWS, written_rows: FEW_ROWS })
  await run(service, churnJob({ query: few }))
  const table = await service.query('SELECT * FROM predictions.churn_scores ORDER BY customer_id')

  const records = await readTopic(topic('avro'), registryUrl)
  for (const { key, value, headers } of records) {
    expect(key).toBe(String(value.customer_id))
    expect(headers).toEqual({ job_id: job.job_id, model: 'churn@1' })
  }
  const values = records.map(({ value }) => value).sort((a, b) => Number(a.customer_id) - Number(b.customer_id))
  const float32 = (row: JsonObject) => ({
    customer_id: Number(row.customer_id),
    label: Number(row.label),
    probabilities_0: Math.fround(row.probabilities_0),
    probabilities_1: Math.fround(row.probabilities_1),
  })
  expect(values).toEqual(table.map(float32))
})

test.each(['sink', 'reader'] as const)('every key exactly once after kill -9 of the %s', async (role) => {
  const name = topic(`killed-${role}`)
  const jobId = await submit(service, kafkaJob({ topic: name, format: 'json' }, unhurried(ROWS)))
  await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.written_rows > ROWS / 10)
  await service.processes(role)[0]?.kill('SIGKILL')
  const replacement = service.start(role)
  const job = await completed(service, jobId)
  await replacement
  expect(job).toMatchObject({ attempt: 1, progress: { total_rows: ROWS, written_rows: ROWS, failed_rows: 0 } })
  expect(await countKeys(name)).toEqual({ records: ROWS, keys: ROWS, lowest: 1, highest: ROWS })
})

test('without a key column, a reader that dies when rows are out fails the job, and no row is there twice', async () => {
  const name = topic('keyless')
  const keyed = kafkaJob({ topic: name, format: 'json' })
  const jobId = await submit(service, { ...keyed, input: { source: 'sql', query: unhurried(ROWS) } })
  await whenJob(service, jobId, 'partly published', ({ progress }) => progress.written_rows > 0)
  await service.processes('reader')[0]?.kill('SIGKILL')
  const replacement = service.start('reader')
  const job = await failed(service, jobId)
  await replacement
  expect(job.error).toMatchObject({ code: 'already_published' })
  const ids = (await readTopic(name)).map(({ value }) => value.customer_id)
  expect(job.error.message).toContain(`${ids.length} rows of an earlier attempt are in the topic ${name}`)
  expect(new Set(ids).size).toBe(ids.length)
})
