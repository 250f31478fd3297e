// What the controller does outside itself when a job's deadline comes while its result is being made visible, on real
// destinations: the job fails with nothing visible, or its result is there after all.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { ConnectorError, type Sink } from '../../connectors/connector.ts'
import { type Connectors, openConnectors } from '../../connectors/index.ts'
import { quoteText } from '../../connectors/postgres/identifiers.ts'
import { Duties, type DutyOutcome, type Work } from '../../src/controller/duties.ts'
import type { JobEvent } from '../../src/job/machine.ts'
import type { PlanningWorld } from '../../src/job/plan.ts'
import { sinkJob } from '../../src/job/sink-job.ts'
import { BARE_OUTPUT, type JobOutput, type JobSnapshot } from '../../topics/jobs.ts'
import { freshDatabase } from '../harness/servers.ts'
import { until } from '../harness/until.ts'
import { running } from '../job/snapshots.ts'

let connectors: Connectors
let database: pg.Client
let directory: string
let duties: Duties
const log = pino({ level: 'silent' })
const outcomes = new Map<string, (event: DutyOutcome['event']) => void>()

beforeAll(async () => {
  const url = await freshDatabase('duties')
  database = new pg.Client({ connectionString: url })
  await database.connect()
  directory = mkdtempSync(join(tmpdir(), 'scoreline-duties-'))
  connectors = openConnectors({
    connections: { warehouse: url, away: 'postgres://nobody@127.0.0.1:1/nowhere' },
    outputRoots: [`${pathToFileURL(directory).href}/`],
    s3: { endpoint: null, region: 'us-east-1' },
    kafka: { brokers: [], topicPrefix: '', registryUrl: null },
  })
  const report = ({ jobId, event }: DutyOutcome): void => {
    duties.settled(jobId)
    outcomes.get(jobId)?.(event)
  }
  duties = new Duties(world, report, log)
})

/** Models of the tenant `away` are not to be had for now; of others there are none. */
function world(tenantId: string): PlanningWorld {
  const findModel = async (): Promise<undefined> => {
    if (tenantId === 'away') throw new ConnectorError('store_unavailable', 'not now', { retriable: true })
  }
  return { ...connectors, findModel, maxInputRows: 1, webhookProblems: async () => [] }
}

afterAll(async () => {
  await duties.stop()
  await connectors.close()
  await database.end()
})

const table = (name: string): JobOutput => ({
  ...BARE_OUTPUT,
  destination: 'table',
  connection: 'warehouse',
  table_name: `public.${name}`,
  mode: 'overwrite',
})
const files = (name: string): JobOutput => ({ ...BARE_OUTPUT, destination: 'parquet', path: name, mode: 'overwrite' })

/** A job without rows whose lanes are all done: it only has to be made visible. It has so long to go. */
async function ready(name: string, outputs: JobOutput[], leftMs: number): Promise<JobSnapshot> {
  const job = running({
    job_id: `batch-${name}`,
    status: 'completing',
    outputs,
    started_at: BigInt(Date.now() + leftMs - 60 * 60_000),
  })
  const plan = job.plan && { ...job.plan, output_columns: outputs.map(() => job.plan?.scored_columns ?? []) }
  const planned = { ...job, plan }
  for (const output of outputs.keys()) {
    const [sink, one] = [sinkOf(planned, output), sinkJob(planned, output)]
    await sink.prepare(one)
    for (const lane of job.lanes) {
      const writer = await sink.openLane(one, lane)
      await writer.end()
      await writer.close()
    }
  }
  return planned
}

function sinkOf(job: JobSnapshot, output: number): Sink {
  return connectors.sinkFor((job.outputs[output] as JobOutput).destination) as Sink
}

function outcome(job: JobSnapshot, duty: Work): Promise<JobEvent> {
  return new Promise((resolve) => {
    outcomes.set(job.job_id, (event) => resolve(event as JobEvent))
    duties.start(job, duty)
  })
}

async function exists(name: string): Promise<boolean> {
  const { rows } = await database.query('SELECT to_regclass($1) IS NOT NULL AS found', [`public.${name}`])
  return rows[0].found
}

async function staged(): Promise<number> {
  const { rows } = await database.query(`SELECT FROM pg_class WHERE relname LIKE 'stage%' AND relkind = 'r'`)
  return rows.length
}

describe.each([
  ['table', table],
  ['files', files],
])('%s, past the deadline', (kind, output) => {
  test('a result that nobody has made visible is taken back', async () => {
    const job = await ready(`${kind}_late`, [output(`${kind}_late`)], -1)
    expect(await outcome(job, 'finalise')).toMatchObject({
      type: 'failed',
      error: { code: 'timeout', message: expect.stringContaining('could not be made visible') },
    })
    expect(await staged()).toBe(0)
    expect(await exists('table_late')).toBe(false)
    // Nor does anybody who is late make it visible.
    await expect(sinkOf(job, 0).finalise(sinkJob(job, 0), 0n)).rejects.toMatchObject({ retriable: false })
  })

  test('a result that is visible, though the controller never heard so, is the job’s', async () => {
    const job = await ready(`${kind}_seen`, [output(`${kind}_seen`)], -1)
    const result = await sinkOf(job, 0).finalise(sinkJob(job, 0), 0n)
    expect(await outcome(job, 'finalise')).toMatchObject({ type: 'finalised', results: [result] })
  })
})

test('of two outputs the one that is visible stays, and the error names it', async () => {
  const job = await ready('half', [table('half_seen'), files('half_late')], -1)
  await sinkOf(job, 0).finalise(sinkJob(job, 0), 0n)
  expect(await outcome(job, 'finalise')).toMatchObject({
    type: 'failed',
    error: {
      code: 'timeout',
      message: expect.stringMatching(/Already visible, and left as they are: public.half_seen$/),
    },
  })
  expect([await exists('half_seen'), await staged()]).toEqual([true, 0])
})

test('a target that others have locked until the deadline keeps its rows, also when they let go', async () => {
  await database.query('CREATE TABLE locked AS SELECT 7::bigint AS label')
  const job = await ready('locked', [table('locked')], 1_500)
  await database.query('BEGIN; LOCK TABLE locked IN ROW EXCLUSIVE MODE')
  const event = await outcome(job, 'finalise')
  await database.query('COMMIT')
  expect(event).toMatchObject({ type: 'failed', error: { code: 'timeout' } })
  expect((await database.query('SELECT label::int FROM locked')).rows).toEqual([{ label: 7 }])
  expect(await staged()).toBe(0)
})

test('new jobs are prepared when they have been waited for; one that takes longer holds up nobody', async () => {
  const [job, locked] = ['at_once', 'locked_out'].map((name) =>
    running({ job_id: `batch-${name}`, status: 'preparing', prepared_attempt: 0, outputs: [table(name)] }),
  ) as [JobSnapshot, JobSnapshot]
  const lock = `hashtextextended(${quoteText(`scoreline job ${locked.job_id}`)}, 0)`
  await database.query(`SELECT pg_advisory_lock(${lock})`)
  const events: string[] = []
  for (const { job_id } of [job, locked]) outcomes.set(job_id, (event) => events.push(`${job_id} ${event?.type}`))
  expect(await duties.startAll([job], 'prepare', 60_000)).toBe(true)
  expect(events).toEqual(['batch-at_once prepared'])
  expect(await duties.startAll([locked], 'prepare', 20)).toBe(true)
  expect(events).toHaveLength(1)
  // What is under way is waited for once.
  expect(await duties.startAll([locked], 'prepare', 60_000)).toBe(false)
  await database.query(`SELECT pg_advisory_unlock(${lock})`)
  await expect.poll(() => events).toEqual(['batch-at_once prepared', 'batch-locked_out prepared'])
})

test('what is not the job’s duty any more is not tried again', async () => {
  const job = running({
    job_id: 'batch-given-up',
    status: 'preparing',
    prepared_attempt: 0,
    outputs: [table('given_up')],
  })
  // Somebody holds the lock that preparing the job waits for: it gives up and is to be tried again.
  await database.query(`SELECT pg_advisory_lock(hashtextextended(${quoteText(`scoreline job ${job.job_id}`)}, 0))`)
  const given = outcome(job, 'prepare')
  // Of this database: other test files wait for locks in theirs.
  const waiting = `FROM pg_locks JOIN pg_database ON oid = database WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted`
  await expect.poll(async () => (await database.query(`SELECT ${waiting}`)).rowCount).toBe(1)
  duties.changed(job.job_id, { ...job, status: 'cancelled' })
  await database.query(`SELECT pg_terminate_backend(pid) ${waiting}`)
  expect(await given).toBeNull()
  await database.query('SELECT pg_advisory_unlock_all()')
})

describe('what is due', () => {
  let taken: DutyOutcome[]
  let own: Duties
  beforeEach(() => {
    taken = []
    own = new Duties(world, (outcome) => taken.push(outcome), log)
  })
  afterEach(async () => {
    vi.useRealTimers()
    await own.stop()
  })

  const submitted = (id: string, tenantId: string): JobSnapshot =>
    running({
      job_id: id,
      tenant_id: tenantId,
      status: 'submitted',
      plan: null,
      started_at: null,
      outputs: [table(id)],
    })
  const failed = (id: string, connection: string): JobSnapshot =>
    running({ job_id: id, status: 'failed', outputs: [{ ...table(id), connection }] })

  test('is not done again before its outcome is taken, as the job does not say yet that it was done', async () => {
    const job = submitted('once', 'acme')
    own.start(job, 'plan')
    await until(() => taken.length === 1)
    own.start(job, 'plan')
    own.start(submitted('next', 'acme'), 'plan')
    await until(() => taken.length === 2)
    expect(taken.map(({ jobId }) => jobId)).toEqual(['once', 'next'])
    own.settled('once')
    own.start(job, 'plan')
    await until(() => taken.length === 3)
  })

  test('any number of plans that wait to be tried again keep no other from being made', async () => {
    for (let i = 0; i < 40; i++) own.start(submitted(`away-${i}`, 'away'), 'plan')
    own.start(submitted('well', 'acme'), 'plan')
    await until(() => taken.length > 0)
    expect(taken).toMatchObject([{ jobId: 'well', event: { type: 'failed' } }])
  })

  test('a sweep that fails waits for a later tick, and holds nobody up', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const away = Array.from({ length: 20 }, (_, i) => failed(`away-${i}`, 'away'))
    for (const job of away) own.start(job, 'sweep')
    own.start(failed('well', 'warehouse'), 'sweep')
    await until(() => taken.length === 21)
    expect(taken.filter(({ event }) => event !== null)).toEqual([{ jobId: 'well', event: { type: 'swept' } }])
    for (const { jobId } of taken) own.settled(jobId)
    for (const job of away) own.start(job, 'sweep')
    vi.setSystemTime(Date.now() + 1_000)
    own.start(failed('away-0', 'away'), 'sweep')
    await until(() => taken.length === 22)
    await own.stop()
    expect(taken.slice(21)).toEqual([{ jobId: 'away-0', event: null }])
  })
})
