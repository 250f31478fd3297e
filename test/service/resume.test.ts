// A job with a key column goes on where its reader was lost, in the same attempt: killed, killed twice, or paused and then
// continued when another has taken over. Every key is there exactly once, with its prediction.
import { beforeAll, expect, test } from 'vitest'
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
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ROWS = 300_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'resume', settings: { KAFKA_SESSION_TIMEOUT_MS: '3000' } })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  // What every prediction is to be: the same job, undisturbed and without a key.
  await run(service, churnJob({ output: { destination: 'table', table_name: 'predictions.expected' } }))
})

function keyedJob(table: string, parts: { query?: string; config?: JsonObject } = {}): JsonObject {
  const job = churnJob({
    query: parts.query ?? unhurried(ROWS),
    output: { destination: 'table', table_name: `predictions.${table}` },
    config: { batch_size: 250, ...parts.config },
  })
  return { ...job, input: { ...job.input, key_column: 'customer_id' } }
}

const reader = (): RoleProcess => service.processes('reader')[0] as RoleProcess

const logOf = (process: RoleProcess): string => process.log.join('\n')

/** Waits until so many rows are scored, and kills the reader; resolves when another runs. `between`: what happens while none does. */
async function killReader(
  jobId: string,
  afterRows: number,
  between: () => Promise<unknown> = async () => {},
): Promise<void> {
  await whenJob(service, jobId, `beyond ${afterRows} rows`, ({ progress }) => progress.processed_rows > afterRows)
  const victim = reader()
  await victim.kill('SIGKILL')
  await between()
  await service.start('reader')
}

/** Every key once, and every prediction as in the undisturbed job. */
async function expectExact(table: string): Promise<void> {
  const [found] = await service.query(`
SELECT count(*)::int AS rows, count(DISTINCT customer_id)::int AS keys,
  (SELECT count(*)::int FROM (SELECT * FROM predictions.${table} EXCEPT SELECT * FROM predictions.expected) AS other) AS other
FROM predictions.${table}`)
  expect(found).toEqual({ rows: ROWS, keys: ROWS, other: 0 })
}

const ALL = { total_rows: ROWS, read_rows: ROWS, processed_rows: ROWS, written_rows: ROWS, failed_rows: 0 }

test('kill -9 of the reader costs no attempt', async () => {
  const jobId = await submit(service, keyedJob('killed'))
  await killReader(jobId, ROWS / 10)
  const job = await completed(service, jobId)
  expect(job).toMatchObject({ attempt: 1, progress: ALL })
  expect(logOf(reader())).toContain('going on with a read')
  await expectExact('killed')
})

test('nor do two kills; rows that come and go meanwhile do not disturb the others', async () => {
  await service.query('CREATE TABLE moving AS SELECT * FROM customers')
  await service.query('CREATE UNIQUE INDEX ON moving (customer_id)')
  await service.query('ANALYZE moving')
  const query = unhurried(ROWS).replace('customers', 'moving')
  const jobId = await submit(service, keyedJob('twice', { query }))
  await killReader(jobId, ROWS / 10, async () => {
    // Behind and ahead of where the read stands: gone, and new.
    await service.query('DELETE FROM moving WHERE customer_id % 1000 = 0')
    await service.query('INSERT INTO moving SELECT -customer_id, tenure, monthly_charges, total_charges FROM customers')
  })
  await killReader(jobId, ROWS / 3)
  const job = await completed(service, jobId)
  expect(job.attempt).toBe(1)
  const [found] = await service.query(`
SELECT count(*) = count(DISTINCT customer_id) AS once, count(*) FILTER (WHERE customer_id < 0)::int AS new,
  count(*) FILTER (WHERE customer_id % 1000 <> 0)::int AS kept,
  (SELECT count(*)::int FROM (SELECT * FROM predictions.twice EXCEPT SELECT * FROM predictions.expected) AS other) AS other
FROM predictions.twice`)
  expect(found).toEqual({ once: true, new: 0, kept: ROWS - ROWS / 1000, other: 0 })
})

test('retry_count bounds how often a reader may be lost', async () => {
  const jobId = await submit(service, keyedJob('bounded', { config: { retry_count: 0 } }))
  await killReader(jobId, ROWS / 10)
  const job = await failed(service, jobId)
  expect(job).toMatchObject({ attempt: 1, error: { code: 'reader_lost' } })
  expect(job.error.message).toBe('the reader was lost 1 times before the query was read, and retry_count is 0')
})

test('a reader that is stopped orderly does not count as lost', async () => {
  const jobId = await submit(service, keyedJob('stopped', { config: { retry_count: 0 } }))
  await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
  await reader().kill('SIGTERM')
  await service.start('reader')
  expect(await completed(service, jobId)).toMatchObject({ attempt: 1, progress: ALL })
  expect(logOf(reader())).toContain('going on with a read')
  await expectExact('stopped')
})

test('a reader that was paused and taken over writes nothing more', async () => {
  const jobId = await submit(service, keyedJob('paused'))
  await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
  const zombie = reader()
  process.kill(zombie.pid, 'SIGSTOP')
  try {
    const heir = await service.start('reader')
    await until(() => logOf(heir).includes('going on with a read'), { what: 'another reader to take over' })
  } finally {
    process.kill(zombie.pid, 'SIGCONT')
  }
  expect(await completed(service, jobId)).toMatchObject({ attempt: 1, progress: ALL })
  await expectExact('paused')
  await zombie.kill('SIGTERM')
})

test.each([
  ['a NULL key', 'nullif(customer_id, 7700) AS customer_id', 'key_null', /NULL in customer_id/],
  [
    'a key in two rows',
    'nullif(customer_id, 7700) % 9000 AS customer_id',
    'key_not_unique',
    /customer_id = 0 in several/,
  ],
])('%s fails the job, and names it', async (_, key, code, message) => {
  const job = keyedJob('broken', { query: CUSTOMERS.replace('customer_id', key) })
  expect(await failed(service, await submit(service, job))).toMatchObject({
    attempt: 1,
    error: { code, message: expect.stringMatching(message) },
  })
})
