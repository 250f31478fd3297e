// The table sink on a real server: exactly once whatever is repeated, and all or nothing for those who read the target.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LaneWriter, ScoredChunk, Sink, SinkJob } from '../../../connectors/connector.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { Column } from '../../../topics/columns.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { connectTo, openClient, tableJob, tableOutput } from './jobs.ts'

const COLUMNS: Column[] = [
  { name: 'id', kind: 'int64' },
  { name: 'score', kind: 'float64' },
]
const CHUNK_ROWS = 10

let url: string
let sink: Sink
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  url = await freshDatabase('pg-table-sink')
  client = await openClient(url)
  sink = createTableSink(connectTo(url))
})

afterAll(() => sink.close())

/** Chunk `seq` of a lane has the ids `first … first + rows - 1`, first = lane * 1000 + seq * CHUNK_ROWS. */
function chunk(seq: number, { lane = 0, rows = CHUNK_ROWS, failedRows = 0 } = {}): ScoredChunk {
  const ids = Array.from({ length: rows }, (_, i) => lane * 1000 + seq * CHUNK_ROWS + i)
  const vectors = [
    { validity: null, nullCount: 0, values: BigInt64Array.from(ids, BigInt) },
    { validity: null, nullCount: 0, values: Float64Array.from(ids, (id) => id / 2) },
  ]
  return { seq, batch: { columns: COLUMNS, vectors, rows }, failedRows }
}

function jobInto(table: string, mode: WriteMode = 'overwrite', more: Partial<SinkJob> = {}): SinkJob {
  return tableJob(tableOutput(table, mode), COLUMNS, { chunkRows: CHUNK_ROWS, ...more })
}

/** A whole job of one lane. */
async function runJob(job: SinkJob, chunks: number): Promise<void> {
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  for (let seq = 0; seq < chunks; seq++) await lane.write([chunk(seq)])
  await lane.end()
  await sink.finalise(job, BigInt(chunks * CHUNK_ROWS))
}

async function ids(table: string): Promise<number[]> {
  return (await client.query<{ id: string }>(`SELECT id FROM ${table} ORDER BY id`)).rows.map((row) => Number(row.id))
}

function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i)
}

async function leftovers(job: SinkJob): Promise<unknown[]> {
  const text = `SELECT relname FROM pg_class WHERE relname LIKE 'stage_' || $1 || '%' UNION ALL SELECT 'ledger' FROM scoreline_sink.ledger WHERE job_id = $1`
  return (await client.query(text, [job.jobId])).rows
}

test('a job into a new table of a new schema, over several lanes', async () => {
  const job = jobInto('Fresh.Scores', 'overwrite', { lanes: [2, 5] })
  await Promise.all([sink.prepare(job), sink.prepare(job), sink.prepare(job)])
  for (const lane of job.lanes) {
    const writer = await sink.openLane(job, lane)
    expect(writer.position).toEqual({ chunks: 0, rows: 0n, failedRows: 0n, bytes: 0n, done: false })
    expect(await writer.write([chunk(0, { lane }), chunk(1, { lane, rows: 7, failedRows: 3 })])).toMatchObject({
      chunks: 2,
      rows: 17n,
      failedRows: 3n,
    })
    expect(await writer.write([chunk(2, { lane, rows: 0, failedRows: 10 })])).toMatchObject({
      chunks: 3,
      rows: 17n,
      failedRows: 13n,
      done: false,
    })
    expect(await writer.end()).toMatchObject({ chunks: 3, rows: 17n, done: true })
    await writer.close()
  }
  const result = await sink.finalise(job, 34n)
  expect(result).toEqual({ rows: 34n, bytes: expect.any(BigInt), location: 'fresh.scores' })
  expect(result.bytes).toBeGreaterThan(34n * 16n)
  expect(await ids('fresh.scores')).toEqual([...upTo(17).map((i) => 2000 + i), ...upTo(17).map((i) => 5000 + i)])
  expect(await leftovers(job)).toEqual([])
})

test('finalising again answers the same and changes nothing, nor does discarding then', async () => {
  const job = jobInto('again')
  await runJob(job, 3)
  const [first, second] = await Promise.all([sink.finalise(job, 30n), sink.finalise(job, 30n)])
  expect(second).toEqual(first)
  await sink.discard(job)
  await sink.discard(job)
  expect(await sink.finalise(job, 30n)).toEqual(first)
  expect(await ids('again')).toEqual(upTo(30))
})

test('finalisers at the same time: one does it, the others wait and see', async () => {
  const job = jobInto('race', 'append')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  await lane.end()
  const results = await Promise.all([1, 2, 3, 4].map(() => sink.finalise(job, 10n)))
  expect(
    new Set(
      results.map((result) => JSON.stringify({ ...result, rows: String(result.rows), bytes: String(result.bytes) })),
    ).size,
  ).toBe(1)
  expect(await ids('race')).toEqual(upTo(10))
})

test('two jobs create the same table: neither is lost', async () => {
  const jobs = [jobInto('shared', 'append'), jobInto('shared', 'append')]
  await Promise.all(jobs.map((job) => runJob(job, 2)))
  expect(await ids('shared')).toEqual([...upTo(20), ...upTo(20)].sort((a, b) => a - b))
})

test('jobs that create different tables of the same new schema at the same time', async () => {
  const jobs = [1, 2, 3, 4].map((i) => jobInto(`brand_new.t${i}`))
  await Promise.all(jobs.map((job) => runJob(job, 1)))
  for (const i of [1, 2, 3, 4]) expect(await ids(`brand_new.t${i}`)).toEqual(upTo(10))
})

test('a job without rows', async () => {
  for (const table of ['empty_new', 'again']) {
    const job = jobInto(table)
    await runJob(job, 0)
    expect(await ids(table)).toEqual([])
  }
})

test('overwrite keeps grants, views, indexes, constraints and defaults of the table', async () => {
  await client.query(`
CREATE TABLE kept (extra text DEFAULT 'default', score real CHECK (score < 1000000), id numeric PRIMARY KEY);
INSERT INTO kept VALUES ('old', 1, 999);
CREATE INDEX kept_score ON kept (score); CREATE VIEW kept_view AS SELECT id, score FROM kept; GRANT SELECT ON kept TO pg_monitor`)
  const before = (await client.query(`SELECT oid, relacl FROM pg_class WHERE relname = 'kept'`)).rows
  await runJob(jobInto('kept'), 2)
  expect(await ids('kept_view')).toEqual(upTo(20))
  expect((await client.query('SELECT DISTINCT extra FROM kept')).rows).toEqual([{ extra: 'default' }])
  expect((await client.query(`SELECT oid, relacl FROM pg_class WHERE relname = 'kept'`)).rows).toEqual(before)
  expect((await client.query(`SELECT indexname FROM pg_indexes WHERE tablename = 'kept' ORDER BY 1`)).rows).toEqual([
    { indexname: 'kept_pkey' },
    { indexname: 'kept_score' },
  ])
})

test('append keeps the rows that are there', async () => {
  await client.query(
    'CREATE TABLE added (id bigint, score float8, at timestamptz DEFAULT now()); INSERT INTO added VALUES (-1, 0)',
  )
  await runJob(jobInto('added', 'append'), 2)
  expect(await ids('added')).toEqual([-1, ...upTo(20)])
})

test('who reads sees the old rows or the new ones', async () => {
  await client.query('CREATE TABLE watched (id bigint, score float8); INSERT INTO watched VALUES (-1, 0)')
  const reader = await openClient(url)
  await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await reader.query('SELECT 1')
  const job = jobInto('watched')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  expect(await ids('watched')).toEqual([-1])
  await lane.end()
  expect(await ids('watched')).toEqual([-1])
  // The reader's snapshot is older than the new rows, and it has not touched the table yet: a TRUNCATE would show it nothing.
  await sink.finalise(job, 10n)
  expect((await reader.query('SELECT id FROM watched')).rows).toEqual([{ id: '-1' }])
  await reader.query('COMMIT')
  expect((await reader.query('SELECT count(*)::int AS n FROM watched')).rows).toEqual([{ n: 10 }])
})

test('a constraint of the target that the rows break leaves the old rows and says so', async () => {
  await client.query('CREATE TABLE strict (id bigint CHECK (id < 5), score float8); INSERT INTO strict VALUES (-1, 0)')
  const job = jobInto('strict')
  await expect(runJob(job, 1)).rejects.toMatchObject({
    code: 'constraint_violated',
    retriable: false,
    message: expect.stringMatching(/strict_id_check.*public.strict is as it was/),
  })
  expect(await ids('strict')).toEqual([-1])
  await sink.discard(job)
  expect(await leftovers(job)).toEqual([])
})

test('a lane that is opened again goes on where it was durable', async () => {
  const job = jobInto('resumed')
  await sink.prepare(job)
  const first = await sink.openLane(job, 0)
  await first.write([chunk(0), chunk(1)])
  await first.close()
  // Another process, after a crash.
  const other = createTableSink(connectTo(url))
  const second = await other.openLane(job, 0)
  expect(second.position).toEqual(first.position)
  await second.write([chunk(2)])
  await second.end()
  expect((await other.openLane(job, 0)).position).toMatchObject({ chunks: 3, rows: 30n, done: true })
  await other.finalise(job, 30n)
  await other.close()
  expect(await ids('resumed')).toEqual(upTo(30))
})

test('of two writers of a lane one is told that it is taken, and nothing doubles', async () => {
  const job = jobInto('contested')
  await sink.prepare(job)
  const writers = await Promise.all([sink.openLane(job, 0), sink.openLane(job, 0)])
  const outcomes = await Promise.allSettled(writers.map((writer) => writer.write([chunk(0), chunk(1)])))
  expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(outcomes.find((outcome) => outcome.status === 'rejected')?.reason).toMatchObject({
    code: 'lane_taken',
    retriable: true,
  })
  const loser = writers[outcomes.findIndex((outcome) => outcome.status === 'rejected')] as LaneWriter
  expect(loser.position.chunks).toBe(0)
  await expect(loser.end()).rejects.toMatchObject({ code: 'lane_taken' })
  const lane = await sink.openLane(job, 0)
  expect(lane.position.chunks).toBe(2)
  await lane.end()
  await sink.finalise(job, 20n)
  expect(await ids('contested')).toEqual(upTo(20))
})

test('a writer whose connection dies in the middle of a write finds out from the ledger', async () => {
  const job = jobInto('severed')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  // Holds the lane's row, so that the next write is certainly under way when its backend is ended.
  const blocker = await openClient(url)
  await blocker.query('BEGIN')
  await blocker.query('SELECT FROM scoreline_sink.ledger WHERE job_id = $1 FOR UPDATE', [job.jobId])
  const write = lane.write([chunk(1)])
  const kill = `SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE query LIKE '%' || $1 || '%' AND wait_event_type = 'Lock' AND datname = current_database()`
  const killed = until(async () => (await client.query<{ n: number }>(kill, [job.jobId])).rows[0]?.n)
  await expect(write).rejects.toMatchObject({ code: 'database_unavailable', retriable: true })
  await killed
  await blocker.query('ROLLBACK')
  const reopened = await sink.openLane(job, 0)
  expect(reopened.position).toMatchObject({ chunks: 1, rows: 10n })
  await reopened.write([chunk(1)])
  await reopened.end()
  await sink.finalise(job, 20n)
  expect(await ids('severed')).toEqual(upTo(20))
})

test('a write that the server refuses before it reads the data leaves the connection in order', async () => {
  const columns: Column[] = [{ name: 't', kind: 'utf8' }]
  const job = tableJob(tableOutput('refused'), columns, { chunkRows: 1 })
  await sink.prepare(job)
  const [winner, loser] = [await sink.openLane(job, 0), await sink.openLane(job, 0)]
  const data = Buffer.alloc(8_000_000, 'x')
  const vectors = [{ validity: null, nullCount: 0, offsets: Int32Array.of(0, data.length), data }]
  const big = [{ seq: 0, batch: { columns, vectors, rows: 1 }, failedRows: 0 }]
  await winner.write(big)
  for (let i = 0; i < 3; i++) await expect(loser.write(big)).rejects.toMatchObject({ code: 'lane_taken' })
  await winner.end()
  expect(await sink.finalise(job, 1n)).toMatchObject({ rows: 1n })
})

test('values that Postgres does not take are the job’s fault, and the lane stays where it was', async () => {
  const columns: Column[] = [
    { name: 't', kind: 'utf8' },
    { name: 'n', kind: 'numeric' },
  ]
  const job = tableJob(tableOutput('poison'), columns, { chunkRows: 1 })
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  const text = (value: string) => ({
    validity: null,
    nullCount: 0,
    offsets: Int32Array.of(0, value.length),
    data: Buffer.from(value),
  })
  const write = (t: string, n: string) =>
    lane.write([{ seq: 0, batch: { columns, vectors: [text(t), text(n)], rows: 1 }, failedRows: 0 }])
  await expect(write('zero \0', '1')).rejects.toMatchObject({ code: 'write_failed', retriable: false })
  await expect(write('a', 'one')).rejects.toMatchObject({
    code: 'write_failed',
    retriable: false,
    message: expect.stringContaining('"one"'),
  })
  expect(lane.position.chunks).toBe(0)
  expect(await write('a', '1.50')).toMatchObject({ chunks: 1 })
})

test('a gap is loud', async () => {
  const job = jobInto('gap')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await expect(lane.write([chunk(1)])).rejects.toMatchObject({ code: 'chunk_gap', retriable: false })
  await expect(lane.write([chunk(0), chunk(2)])).rejects.toMatchObject({ code: 'chunk_gap', retriable: false })
  await lane.write([chunk(0)])
  await lane.end()
  await expect(lane.write([chunk(1)])).rejects.toMatchObject({ code: 'chunk_gap', retriable: false })
})

test('lost rows and unfinished lanes are not made visible', async () => {
  const job = jobInto('lost', 'overwrite', { lanes: [0, 1] })
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  await lane.end()
  await expect(sink.finalise(job, 10n)).rejects.toMatchObject({ code: 'rows_lost', retriable: false })
  await (await sink.openLane(job, 1)).end()
  await expect(sink.finalise(job, 11n)).rejects.toMatchObject({ code: 'rows_lost' })
  expect((await client.query(`SELECT to_regclass('lost') AS target`)).rows).toEqual([{ target: null }])
  await sink.finalise(job, 10n)
})

test('an attempt that was discarded, or never prepared, has no lanes', async () => {
  const job = jobInto('zombie')
  await expect(sink.openLane(job, 0)).rejects.toMatchObject({ code: 'staging_missing', retriable: false })
  await sink.prepare(job)
  const zombie = await sink.openLane(job, 0)
  await zombie.write([chunk(0)])
  const next = { ...job, attempt: 2 }
  await sink.prepare(next)
  await sink.discard(job)
  await expect(zombie.write([chunk(1)])).rejects.toMatchObject({ code: 'lane_taken' })
  await expect(sink.openLane(job, 0)).rejects.toMatchObject({ code: 'staging_missing' })
  await expect(sink.finalise(job, 10n)).rejects.toMatchObject({ code: 'staging_missing' })
  const lane = await sink.openLane(next, 0)
  await lane.write([chunk(0)])
  await lane.end()
  await sink.finalise(next, 10n)
  expect(await ids('zombie')).toEqual(upTo(10))
})

test('finalising takes the remains of earlier attempts with it', async () => {
  const job = jobInto('attempts')
  await sink.prepare(job)
  await (await sink.openLane(job, 0)).write([chunk(0)])
  await runJob({ ...job, attempt: 2 }, 1)
  expect(await leftovers(job)).toEqual([])
})

test('long job ids have staging tables of their own', async () => {
  const jobs = ['a', 'b'].map((end) => jobInto(`long_${end}`, 'overwrite', { jobId: `${'x'.repeat(70)}'"\\${end}` }))
  for (const job of jobs) await sink.prepare(job)
  for (const job of jobs) await runJob(job, 1)
  expect(await ids('long_a')).toEqual(upTo(10))
  expect(await ids('long_b')).toEqual(upTo(10))
})

test('names in every form are only names', async () => {
  const columns: Column[] = [
    { name: 'we"ird; DROP TABLE x', kind: 'int64' },
    { name: 'select', kind: 'float64' },
  ]
  const job = tableJob(tableOutput('"Odd"."na""me;"'), columns, { jobId: `it's; "odd" \\` })
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([{ ...chunk(0), batch: { ...chunk(0).batch, columns } }])
  await lane.end()
  expect(await sink.finalise(job, 10n)).toMatchObject({ location: '"Odd"."na""me;"' })
  expect((await client.query('SELECT count(*)::int AS n FROM "Odd"."na""me;"')).rows).toEqual([{ n: 10 }])
})

test('what a request may not write, prepare and finalise refuse too', async () => {
  for (const table of ['pg_catalog.pg_class', 'scoreline_sink.ledger', null, 'a.b.c']) {
    const job = tableJob(tableOutput(table), COLUMNS)
    await expect(sink.prepare(job)).rejects.toMatchObject({
      code: expect.stringMatching(/^table_name_/),
      retriable: false,
    })
    await expect(sink.finalise(job, 0n)).rejects.toMatchObject({ code: expect.stringMatching(/^table_name_/) })
  }
  await expect(sink.prepare(tableJob(tableOutput('x', 'upsert'), COLUMNS))).rejects.toMatchObject({
    code: 'key_required',
  })
  const evil: Column[] = [{ name: 'a', kind: 'utf8', sqlType: 'text); DROP TABLE kept; --' }]
  await sink.prepare(tableJob(tableOutput('evil'), evil))
  expect((await client.query(`SELECT to_regclass('kept') IS NOT NULL AS there`)).rows).toEqual([{ there: true }])
})
