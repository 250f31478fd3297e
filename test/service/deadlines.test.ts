// A job's deadline: whatever the job is at, it fails in time, every role stops, nothing is left and nothing is visible; also
// when the controller was dead at that moment.
import { beforeAll, expect, test } from 'vitest'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  failed,
  registerModel,
  seedCustomers,
  smallJob,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

/** The deadline of the jobs here: short, and long enough to get under way on a busy machine. */
const DEADLINE_S = 6
/** "Within seconds", on a busy machine. */
const SOON_MS = 10_000

let service: Service

beforeAll(async () => {
  const settings = { KAFKA_SESSION_TIMEOUT_MS: '3000', BATCH_MAX_INPUT_ROWS: '1000000000' }
  service = await startService({ name: 'deadlines', settings })
  await seedCustomers(service, 100)
  // Without it the estimate of a product of tables is beyond every limit.
  await service.query('ANALYZE customers')
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

/** More rows than can be scored in time, 10^8; and the first come at once. */
const ENDLESS =
  'SELECT a.customer_id, a.tenure, a.monthly_charges, a.total_charges FROM customers a, customers b, customers c, customers d'

function endlessJob(name: string): JsonObject {
  const output = { destination: 'table', table_name: `predictions.${name}` }
  return churnJob({ query: ENDLESS, output, config: { timeout_minutes: DEADLINE_S / 60 } })
}

/** The job failed for its deadline, not before it and soon after. */
function expectTimeout(job: JsonObject, lateMs = SOON_MS): void {
  expect(job).toMatchObject({ status: 'failed', attempt: 1, error: { code: 'timeout' } })
  const tookMs = Date.parse(job.finished_at) - Date.parse(job.started_at)
  expect(tookMs).toBeGreaterThanOrEqual(DEADLINE_S * 1_000)
  expect(tookMs).toBeLessThan(DEADLINE_S * 1_000 + lateMs)
}

/** No query of a job runs, nothing is staged, the target is not there. */
async function expectNothingLeft(name: string): Promise<void> {
  const left = `SELECT (SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (%' AND state = 'active' AND pid <> pg_backend_pid()) AS queries,
 (SELECT count(*)::int FROM pg_class WHERE relname LIKE 'stage%' AND relkind = 'r') AS staged, to_regclass('predictions.${name}') AS target`
  const clean = { queries: 0, staged: 0, target: null }
  await until(async () => JSON.stringify((await service.query(left))[0]) === JSON.stringify(clean), {
    timeoutMs: SOON_MS,
    what: 'every role to stop, and what was staged to be gone',
  })
}

test('a job that runs is stopped in all roles, and its lanes are free at once', async () => {
  const jobId = await submit(service, endlessJob('endless'))
  await whenJob(service, jobId, 'under way', ({ progress }) => progress.processed_rows > 0)
  expectTimeout(await failed(service, jobId))
  await expectNothingLeft('endless')
  await completed(service, await submit(service, smallJob('after_timeout')), SOON_MS)
})

test('it holds when the controller was dead at that moment', async () => {
  const jobId = await submit(service, endlessJob('orphaned'))
  const { started_at } = await whenJob(service, jobId, 'under way', ({ progress }) => progress.processed_rows > 0)
  await service.processes('controller')[0]?.kill('SIGKILL')
  const end = Date.parse(started_at) + DEADLINE_S * 1_000
  await until(() => Date.now() > end, { what: 'the deadline to pass' })
  await service.start('controller')
  const job = await failed(service, jobId)
  expectTimeout(job, 40_000)
  await expectNothingLeft('orphaned')
})

test('a target that stays locked is given up with its old rows; whoever lets go later changes nothing', async () => {
  await service.query('CREATE SCHEMA IF NOT EXISTS predictions')
  await service.query(
    'CREATE TABLE predictions.locked AS SELECT 7::bigint AS customer_id, 1::bigint AS label, 0.5::real AS probabilities_0, 0.5::real AS probabilities_1',
  )
  const job = smallJob('locked', 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers')
  const other = await service.connect()
  await other.query('BEGIN; LOCK TABLE predictions.locked IN ROW EXCLUSIVE MODE')
  const output = { ...job.output, mode: 'overwrite' }
  const jobId = await submit(service, { ...job, output, config: { ...job.config, timeout_minutes: DEADLINE_S / 60 } })
  await whenJob(service, jobId, 'completing', ({ status }) => status === 'completing')
  const over = await failed(service, jobId)
  await other.query('COMMIT')
  await other.end()
  expectTimeout(over)
  expect(over.error.message).toContain('the result was ready, and could not be made visible')
  expect(await service.query('SELECT customer_id::int FROM predictions.locked')).toEqual([{ customer_id: 7 }])
})
