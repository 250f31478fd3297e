// What tests do with a running service again and again: fill a table, register a model, submit, wait for the end.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { JsonObject, Service } from './service.ts'
import { until } from './until.ts'

const MODELS = join(import.meta.dirname, '../fixtures/models')
const CHURN = join(import.meta.dirname, '../../examples/churn/churn.onnx')

export const JOBS = '/api/v1/inference/batch'

/** The query of the example. */
export const CUSTOMERS = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'

/**
 * The same, of `customers` with so many rows that take a second or more to come: whatever the machine makes of them, they are
 * still being read when the first of them are scored.
 */
export function unhurried(rows: number, seconds = 1): string {
  return `${CUSTOMERS} WHERE customer_id % 1000 > 0 OR pg_sleep(${(seconds * 1_000) / rows}) IS NOT NULL`
}

/** Fills `customers` with ids 1 … rows and three features. */
export async function seedCustomers({ query }: Service, rows: number, table = 'customers'): Promise<void> {
  await query(
    `CREATE TABLE ${table} (customer_id bigint PRIMARY KEY, tenure integer, monthly_charges double precision, total_charges double precision)`,
  )
  await query(
    `INSERT INTO ${table} SELECT i, 1 + i % 72, 18.25 + (i * 7919 % 10050) / 100.0, (i * 104729 % 800000) / 100.0 FROM generate_series(1, $1::bigint) i`,
    [rows],
  )
}

/** Registers one of the models in test/fixtures, or the example's. */
export async function registerModel(
  service: Service,
  modelId: string,
  file: string,
  features?: string,
): Promise<JsonObject> {
  const bytes = await modelBytes(file)
  const query = features ? `?features=${encodeURIComponent(features)}` : ''
  const { status, body } = await service.request(`/api/v1/models/${modelId}${query}`, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-type': 'application/octet-stream' },
  })
  expect(body, JSON.stringify(body)).toMatchObject({ model_id: modelId })
  expect(status).toBeLessThan(300)
  return body
}

export function modelBytes(file: string): Promise<Uint8Array> {
  return readFile(file === 'churn.onnx' ? CHURN : join(MODELS, file))
}

export const CHURN_FEATURES = 'tenure,monthly_charges,total_charges'

/** A submission of the example, with parts replaced. */
export function churnJob(
  parts: { query?: string; output?: JsonObject; config?: JsonObject; model_id?: string } = {},
): JsonObject {
  return {
    model_id: parts.model_id ?? 'churn',
    input: { source: 'sql', query: parts.query ?? CUSTOMERS },
    output: parts.output ?? { destination: 'table', table_name: 'predictions.churn_scores', mode: 'overwrite' },
    config: { batch_size: 1000, parallelism: 4, timeout_minutes: 10, ...parts.config },
  }
}

/** A job of ten rows into a table of its own in schema `predictions`. */
export function smallJob(name: string, query = `${CUSTOMERS} WHERE customer_id <= 10`): JsonObject {
  return churnJob({ query, output: { destination: 'table', table_name: `predictions.${name}` } })
}

/** The newest thousand jobs; `search` is more of the query, `&status=…`. */
export async function listJobs(
  service: Service,
  search = '',
  headers: Record<string, string> = {},
): Promise<JsonObject[]> {
  const { status, body } = await service.request(`${JOBS}?limit=1000${search}`, { headers })
  expect(status, JSON.stringify(body)).toBe(200)
  return body.data
}

/** The jobs into a table of schema `predictions`. */
export async function jobsInto(service: Service, name: string): Promise<JsonObject[]> {
  return (await listJobs(service)).filter(({ output }) => output.table_name === `predictions.${name}`)
}

/** Submits and gives the job's id. */
export async function submit(service: Service, job: JsonObject, headers: Record<string, string> = {}): Promise<string> {
  const { status, body } = await service.request(JOBS, { body: job, headers })
  expect(status, JSON.stringify(body)).toBe(202)
  return body.job_id as string
}

export async function statusOf(service: Service, jobId: string): Promise<JsonObject> {
  const { status, body } = await service.request(`${JOBS}/${jobId}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

/** Waits until the job's status satisfies `fits`. */
export function whenJob(
  service: Service,
  jobId: string,
  what: string,
  fits: (job: JsonObject) => boolean,
  timeoutMs = 120_000,
): Promise<JsonObject> {
  return until(
    async () => {
      const job = await statusOf(service, jobId)
      return fits(job) ? job : undefined
    },
    { timeoutMs, everyMs: 20, what: `job ${jobId} to be ${what}` },
  )
}

/** Waits for the end, which must be `completed`. */
export async function completed(service: Service, jobId: string, timeoutMs = 120_000): Promise<JsonObject> {
  const job = await whenJob(service, jobId, 'finished', ({ finished_at }) => finished_at !== null, timeoutMs)
  expect(job, JSON.stringify(job)).toMatchObject({ status: 'completed', progress: { percentage: 100 } })
  return job
}

/** Waits for the end, which must be `failed`. */
export async function failed(service: Service, jobId: string, timeoutMs = 120_000): Promise<JsonObject> {
  const job = await whenJob(service, jobId, 'finished', ({ finished_at }) => finished_at !== null, timeoutMs)
  expect(job, JSON.stringify(job)).toMatchObject({ status: 'failed' })
  return job
}

/** Submits and waits for the end, which must be `completed`. */
export async function run(service: Service, job: JsonObject): Promise<JsonObject> {
  return completed(service, await submit(service, job))
}

/** The JSON records that are in a topic now. */
export async function recordsOf(service: Service, topic: string): Promise<JsonObject[]> {
  const records = await rawRecordsOf(service, topic)
  return records.flatMap(({ value }) => (value ? [JSON.parse(value.toString())] : []))
}

/** The records that are in a topic now, those of each partition in order, read by a consumer of the test's own. */
export async function rawRecordsOf(
  { kafka, prefix }: Service,
  topic: string,
): Promise<{ readonly key: string; readonly value: Buffer | null }[]> {
  const client = kafka()
  const name = `${prefix}${topic}`
  const admin = client.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(name)
  await admin.disconnect()
  const left = new Set(ends.filter(({ high, low }) => high !== low).map(({ partition }) => partition))
  const consumer = client.consumer({ groupId: `${prefix}test-${randomUUID()}`, maxWaitTimeInMs: 100 })
  const records: { key: string; value: Buffer | null }[] = []
  // The end of a batch, and not its last record, tells the position: transaction markers occupy offsets too.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    const end = ends.find(({ partition }) => partition === payload.partition)
    if (end && BigInt(payload.lastOffset) + 1n >= BigInt(end.high)) left.delete(payload.partition)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [name], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { key, value } of batch.messages) records.push({ key: key?.toString() ?? '', value })
    },
  })
  await until(() => left.size === 0, { what: `${name} to be read` })
  await consumer.disconnect()
  return records
}
