// Several jobs at once: fairness, cancellation in each state, a tenant's limit, and real parallelism.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { scoredTopics } from '../../topics/scored.ts'
import { LANES } from '../../topics/topic.ts'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  registerModel,
  seedCustomers,
  statusOf,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const LARGE = 1_000_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'concurrency', roles: { scorer: 2 } })
  await seedCustomers(service, LARGE)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

const table = (name: string): JsonObject => ({ destination: 'table', table_name: `predictions.${name}` })
const rowsOf = async (name: string): Promise<number> =>
  ((await service.query(`SELECT count(*)::int AS rows FROM predictions.${name}`))[0] as { rows: number }).rows
const exists = async (name: string): Promise<boolean> =>
  (await service.query(`SELECT to_regclass('predictions.${name}') AS found`))[0]?.found !== null
const cancel = (jobId: string): Promise<{ status: number; body: JsonObject }> =>
  service.request(`/api/v1/inference/batch/${jobId}/cancel`, { method: 'POST' })
const staged = (): Promise<JsonObject[]> =>
  service.query(`SELECT relname FROM pg_class WHERE relname LIKE 'stage%' AND relkind = 'r'`)

test('a small job that is submitted while a large one runs finishes long before it', async () => {
  const large = await submit(service, churnJob({ query: unhurried(LARGE, 3), output: table('large') }))
  await whenJob(service, large, 'running', ({ progress }) => progress.processed_rows > 0)
  const small = await submit(
    service,
    churnJob({ query: `SELECT * FROM customers WHERE customer_id <= 1000`, output: table('small') }),
  )
  await completed(service, small)
  const meanwhile = await statusOf(service, large)
  expect(meanwhile.status).toBe('running')
  expect(meanwhile.progress.processed_rows).toBeLessThan(LARGE)
  await completed(service, large)
  expect([await rowsOf('large'), await rowsOf('small')]).toEqual([LARGE, 1000])
})

test('two large jobs at once both complete, each with its own rows', async () => {
  const halves = ['customer_id % 2 = 0', 'customer_id % 2 = 1'].map((half) => `SELECT * FROM customers WHERE ${half}`)
  const jobs = await Promise.all(
    halves.map((query, i) => submit(service, churnJob({ query, output: table(`half_${i}`) }))),
  )
  await Promise.all(jobs.map((jobId) => completed(service, jobId)))
  const parities = await service.query(
    `SELECT DISTINCT 0 AS half, customer_id % 2 AS parity FROM predictions.half_0 UNION ALL SELECT DISTINCT 1, customer_id % 2 FROM predictions.half_1 ORDER BY 1`,
  )
  expect(parities).toEqual([
    { half: 0, parity: '0' },
    { half: 1, parity: '1' },
  ])
  expect([await rowsOf('half_0'), await rowsOf('half_1')]).toEqual([LARGE / 2, LARGE / 2])
})

test('both scorers score, and the lanes of a job are spread over them', async () => {
  // A scorer that starved for longer than its session is out of the group for a moment.
  await until(() => service.processes('scorer').every(ownsHalf), { what: 'each scorer to own half of the lanes' })
  const jobId = await submit(service, churnJob({ output: table('spread'), config: { parallelism: 4 } }))
  await completed(service, jobId)
  const lanes = await lanesWithRecords(service, jobId)
  expect(lanes.size).toBe(4)
  // The group gives partition p to member p mod 2, so of any lanes that are not all even or all odd both scorers have some.
  expect(new Set([...lanes.keys()].map((lane) => lane % 2)).size).toBe(2)
  // What they say comes through a pipe.
  await until(() => scorersOf(service, jobId).size === 2, { what: 'both scorers to have said that they had the job' })
  // No lane stands idle: each got a fair share of the chunks.
  for (const chunks of lanes.values()) expect(chunks).toBeGreaterThan(LARGE / 1000 / 4 / 4)
})

test('a fourth job of a tenant waits as submitted until one of three is finished', async () => {
  const running = await Promise.all([1, 2, 3].map((i) => submit(service, churnJob({ output: table(`limit_${i}`) }))))
  const fourth = await submit(
    service,
    churnJob({ query: 'SELECT * FROM customers WHERE customer_id <= 10', output: table('limit_4') }),
  )
  expect(await statusOf(service, fourth)).toMatchObject({ status: 'submitted', started_at: null, queue_position: 1 })
  for (const jobId of running.slice(1)) await cancel(jobId)
  await completed(service, fourth)
  await completed(service, running[0] as string)
})

test('cancel while submitted: the job never starts', async () => {
  const running = await Promise.all([1, 2, 3].map((i) => submit(service, churnJob({ output: table(`queue_${i}`) }))))
  const waiting = await submit(service, churnJob({ output: table('never_started') }))
  expect((await cancel(waiting)).body).toMatchObject({ status: 'cancelled', started_at: null })
  await Promise.all(running.map(cancel))
  expect(await exists('never_started')).toBe(false)
})

test('cancel right after submission, in whatever state that is: no output', async () => {
  const jobId = await submit(service, churnJob({ output: table('barely_started') }))
  expect((await cancel(jobId)).body).toMatchObject({ status: 'cancelled' })
  await until(async () => (await staged()).length === 0, { what: 'staging to be removed' })
  expect(await exists('barely_started')).toBe(false)
})

test.each(['table', 'parquet', 'csv'])(
  'cancel while running (%s): all roles stop, nothing partial is visible',
  async (destination) => {
    const output = destination === 'table' ? table('cut_short') : { destination, path: `cut-short-${destination}/` }
    const jobId = await submit(service, churnJob({ query: unhurried(LARGE, 3), output }))
    await whenJob(service, jobId, 'running', ({ progress }) => progress.processed_rows > 0)
    const { status, body } = await cancel(jobId)
    expect([status, body.status]).toEqual([200, 'cancelled'])
    expect((await cancel(jobId)).status).toBe(200)
    await until(async () => (await staged()).length === 0, { what: 'staging to be removed' })
    if (destination === 'table') expect(await exists('cut_short')).toBe(false)
    else expect(visibleFiles(join(service.outputDir, `cut-short-${destination}`))).toEqual([])
    // The reader has stopped: no query of the job is left on the server.
    await until(
      async () =>
        (
          await service.query(
            `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (%' AND state = 'active' AND pid <> pg_backend_pid()`,
          )
        ).length === 0,
      {
        what: 'the query to be gone',
      },
    )
    // The lanes are free: another job goes through at once.
    await completed(
      service,
      await submit(
        service,
        churnJob({ query: 'SELECT * FROM customers WHERE customer_id <= 10', output: table('after_cancel') }),
      ),
    )
  },
)

test('cancelling a completed job is a conflict', async () => {
  const jobId = await submit(
    service,
    churnJob({ query: 'SELECT * FROM customers WHERE customer_id <= 10', output: table('done') }),
  )
  await completed(service, jobId)
  const { status, body } = await cancel(jobId)
  expect([status, body.code]).toEqual([409, 'job_finished'])
  expect(await rowsOf('done')).toBe(10)
})

function visibleFiles(directory: string): string[] {
  return existsSync(directory)
    ? readdirSync(directory).filter((name) => !name.startsWith('_') && !name.startsWith('.'))
    : []
}

/** Lane → scored chunks of a job, read from the scored topic. */
async function lanesWithRecords({ kafka, prefix }: Service, jobId: string): Promise<Map<number, number>> {
  const client = kafka()
  const topic = `${prefix}${scoredTopics.table.name}`
  const admin = client.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const left = new Set(ends.filter(({ high }) => high !== '0').map(({ partition }) => partition))
  const consumer = client.consumer({ groupId: `${prefix}test-${jobId}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const lanes = new Map<number, Set<string>>()
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { headers } of batch.messages) {
        if (headers?.job_id?.toString() !== jobId || headers.type?.toString() !== 'chunk') continue
        const seqs = lanes.get(batch.partition) ?? new Set()
        lanes.set(batch.partition, seqs.add(String(headers.seq)))
      }
      const end = ends.find(({ partition }) => partition === batch.partition)
      if (end && BigInt(batch.lastOffset()) + 1n >= BigInt(end.high)) left.delete(batch.partition)
    },
  })
  await until(() => left.size === 0, { what: 'the scored topic to be read' })
  await consumer.disconnect()
  return new Map([...lanes].map(([lane, seqs]) => [lane, seqs.size]))
}

function ownsHalf({ log }: RoleProcess): boolean {
  return log.findLast((line) => line.includes('partitions assigned'))?.includes(`"partitions":${LANES / 2}`) ?? false
}

/** The scorer processes that logged work for a job. */
function scorersOf({ processes }: Service, jobId: string): Set<number> {
  return new Set(processes('scorer').flatMap(({ pid, log }) => (log.some((line) => line.includes(jobId)) ? [pid] : [])))
}
