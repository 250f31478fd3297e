// Two controllers and two APIs at once: they share the work, agree on every job, and a controller that is killed in whatever
// state a job is leaves it to the other, which goes on from there.
import { AssignerProtocol } from 'kafkajs'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { lockStatement } from '../../connectors/postgres/ledger.ts'
import { jobIdOfKey } from '../../src/job/identity.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'
import { followJobs, type JobHistory } from '../harness/job-history.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  failed,
  JOBS,
  registerModel,
  seedCustomers,
  smallJob,
  statusOf,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

// Several processes start in each of these tests.
vi.setConfig({ testTimeout: 360_000 })

const ROWS = 100_000
let service: Service
let history: JobHistory
/** What waits for a snapshot, by job. */
const watchers = new Map<string, (status: string) => void>()

beforeAll(async () => {
  service = await startService({
    name: 'controllers',
    settings: {
      KAFKA_SESSION_TIMEOUT_MS: '3000',
      BATCH_MAX_CONCURRENT_JOBS: '1',
      BATCH_MAX_INPUT_ROWS: String(ROWS),
    },
    roles: { controller: 2, api: 2 },
  })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  history = await followJobs(service, (job) => watchers.get(job.job_id)?.(job.status))
})

/** The controllers by the partitions of the commands that they own, as the group has it. */
async function owners(): Promise<Map<number, RoleProcess>> {
  const admin = service.kafka().admin()
  await admin.connect()
  const { groups } = await admin.describeGroups([`${service.prefix}controller`])
  await admin.disconnect()
  const found = new Map<number, RoleProcess>()
  for (const { clientId, memberAssignment } of groups[0]?.members ?? []) {
    const owner = service.processes('controller').find(({ pid }) => clientId.includes(`-${pid}-`))
    const assigned = memberAssignment.length ? AssignerProtocol.MemberAssignment.decode(memberAssignment) : null
    for (const partition of assigned?.assignment[`${service.prefix}${commandsTopic.name}`] ?? [])
      if (owner) found.set(partition, owner)
  }
  return found
}

/** The controller that has the jobs of tenant `default`, once the group is at rest. */
async function ownerOfJobs(): Promise<RoleProcess> {
  const found = await until(
    async () => {
      const now = await owners()
      return now.size === CONTROL_PARTITIONS && new Set(now.values()).size === 2 ? now : undefined
    },
    { what: 'two controllers to share the partitions' },
  )
  return found.get(controlPartition('default')) as RoleProcess
}

/** Kills the controller that has the jobs, and starts another; the one that is left takes over meanwhile. */
async function replaceOwner(): Promise<void> {
  const owner = await ownerOfJobs()
  await owner.kill('SIGKILL')
  await service.start('controller')
}

/** Submits a job that cannot be prepared before it is let go: what preparing it waits for is locked. */
async function submitHeld(name: string, job: JsonObject): Promise<{ jobId: string; release(): Promise<void> }> {
  const [jobId, other] = [jobIdOfKey('default', name), await service.connect()]
  await other.query(`BEGIN; ${lockStatement(`job ${jobId}`)}`)
  await submit(service, job, { 'idempotency-key': name })
  return { jobId, release: () => other.end() }
}

async function rowsIn(name: string): Promise<number> {
  return (await service.query(`SELECT count(*)::int AS rows FROM predictions.${name}`))[0]?.rows as number
}

/** All at once: what the job became, that its rows are there once, and that nobody ever saw it go back. */
async function expectWell(jobId: string, name: string, rows: number): Promise<void> {
  expect(await completed(service, jobId)).toMatchObject({ attempt: 1, failed_attempts: [] })
  expect(await rowsIn(name)).toBe(rows)
  const passed = ['submitted', 'preparing', 'running', 'completing', 'completed']
  await until(() => history.statuses(jobId).at(-1) === 'completed', { what: 'the end to be on jobs.v1' })
  expect(history.statuses(jobId)).toEqual(passed)
}

const tenRows = (name: string): JsonObject => smallJob(name)
const allRows = (name: string): JsonObject =>
  churnJob({
    query: CUSTOMERS,
    output: { destination: 'table', table_name: `predictions.${name}` },
    config: { batch_size: 250 },
  })

test('two controllers share the tenants', async () => {
  const shares = async () =>
    [...Map.groupBy(await owners(), ([, owner]) => owner.pid).values()].map(({ length }) => length)
  await until(async () => (await shares()).join() === '6,6', { what: 'each controller to have half of the partitions' })
})

test('one key at two APIs at the same moment is one job', async () => {
  const urls = service.processes('api').map(({ url }) => url as string)
  expect(new Set(urls).size).toBe(2)
  const body = JSON.stringify(tenRows('one_job'))
  const headers = { 'content-type': 'application/json', 'idempotency-key': 'same' }
  const answers = await Promise.all(
    [...urls, ...urls].map(async (url) => {
      const answer = await fetch(new URL(JOBS, url), { method: 'POST', body, headers })
      return { code: answer.status, jobId: ((await answer.json()) as JsonObject).job_id }
    }),
  )
  const jobId = jobIdOfKey('default', 'same')
  expect(answers).toEqual(answers.map(() => ({ code: 202, jobId })))
  await expectWell(jobId, 'one_job', 10)
  // Whichever API is asked, and it was not the one that took the submission.
  for (const url of urls) {
    const seen = await until(async () => {
      const job = (await (await fetch(new URL(`${JOBS}/${jobId}`, url))).json()) as JsonObject
      return job.status === 'completed' ? job : undefined
    })
    expect(seen).toMatchObject({ job_id: jobId, progress: { written_rows: 10 } })
  }
})

test('waiting jobs start in the order of their submission, and tell their place in the queue', async () => {
  const { jobId: first, release } = await submitHeld('queue_0', tenRows('queue_0'))
  const waiting: string[] = []
  for (const i of [1, 2, 3]) waiting.push(await submit(service, tenRows(`queue_${i}`)))
  const places = await Promise.all(waiting.map(async (jobId) => (await statusOf(service, jobId)).queue_position))
  expect(places).toEqual([1, 2, 3])
  await release()
  for (const jobId of [first, ...waiting]) await completed(service, jobId)
  const starts = history.snapshots.filter(
    ({ status, job_id }, i) =>
      status === 'preparing' &&
      history.snapshots.findIndex((other) => other.job_id === job_id && other.status === status) === i,
  )
  expect(starts.map(({ job_id }) => job_id).filter((jobId) => waiting.includes(jobId))).toEqual(waiting)
})

test('a table that grows between the count and the read is read up to BATCH_MAX_INPUT_ROWS, and the job fails', async () => {
  await service.query('CREATE TABLE growing AS SELECT * FROM customers')
  const { jobId: held, release } = await submitHeld('held', tenRows('held'))
  const job = allRows('growing')
  const jobId = await submit(service, { ...job, input: { ...job.input, query: 'SELECT * FROM growing' } })
  await service.query('INSERT INTO growing SELECT -customer_id, tenure, monthly_charges, total_charges FROM customers')
  await service.request(`${JOBS}/${held}/cancel`, { method: 'POST' })
  await release()
  expect(await failed(service, jobId)).toMatchObject({ attempt: 1, error: { code: 'too_many_rows' } })
  expect(await service.query(`SELECT to_regclass('predictions.growing') AS found`)).toEqual([{ found: null }])
})

describe('kill -9 of the controller that has the job', () => {
  test('submitted: it starts when there is a place', async () => {
    const { jobId: running, release } = await submitHeld('blocks', allRows('blocks'))
    const jobId = await submit(service, tenRows('waited'))
    expect(await statusOf(service, jobId)).toMatchObject({ status: 'submitted', queue_position: 1 })
    await replaceOwner()
    expect(await statusOf(service, jobId)).toMatchObject({ status: 'submitted', queue_position: 1 })
    await release()
    await expectWell(jobId, 'waited', 10)
    await expectWell(running, 'blocks', ROWS)
  })

  test('preparing: it is prepared again', async () => {
    const { jobId, release } = await submitHeld('prepared', tenRows('prepared'))
    await whenJob(service, jobId, 'preparing', ({ status }) => status === 'preparing')
    await replaceOwner()
    expect(await statusOf(service, jobId)).toMatchObject({ status: 'preparing' })
    await release()
    await expectWell(jobId, 'prepared', 10)
  })

  test('running: it runs on', async () => {
    const jobId = await submit(service, allRows('ran'))
    await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
    await replaceOwner()
    await expectWell(jobId, 'ran', ROWS)
  })

  test('completing: the result is made visible once', async () => {
    await service.query('CREATE SCHEMA IF NOT EXISTS predictions')
    await service.query(`CREATE TABLE predictions.finished AS SELECT * FROM predictions.one_job`)
    const other = await service.connect()
    await other.query('BEGIN; LOCK TABLE predictions.finished IN ROW EXCLUSIVE MODE')
    const job = tenRows('finished')
    const jobId = await submit(service, { ...job, output: { ...job.output, mode: 'overwrite' } })
    await whenJob(service, jobId, 'completing', ({ status }) => status === 'completing')
    await replaceOwner()
    expect(await statusOf(service, jobId)).toMatchObject({ status: 'completing' })
    await other.query('COMMIT')
    await other.end()
    await expectWell(jobId, 'finished', 10)
  })

  test('at the very moment when each state is on jobs.v1', async () => {
    for (const state of ['submitted', 'preparing', 'running', 'completing', 'completed']) {
      const owner = await ownerOfJobs()
      const key = `at_${state}`
      const jobId = jobIdOfKey('default', key)
      const killed = new Promise<void>((resolve) => {
        watchers.set(jobId, (status) => {
          if (status !== state) return
          watchers.delete(jobId)
          owner.kill('SIGKILL').then(() => resolve())
        })
      })
      await submit(service, tenRows(key), { 'idempotency-key': key })
      await killed
      await service.start('controller')
      await expectWell(jobId, key, 10)
    }
  })
})
