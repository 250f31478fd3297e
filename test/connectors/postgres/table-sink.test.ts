// What is particular to the table sink, beside the sink contract (contract.test.ts): what an overwrite keeps, names, and what Postgres
// itself refuses.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ScoredChunk, Sink, SinkJob } from '../../../connectors/connector.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { Column } from '../../../topics/columns.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { failedRowsOf } from '../files/batches.ts'
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
  return { seq, batch: { columns: COLUMNS, vectors, rows }, failed: failedRowsOf(seq, failedRows) }
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

test('a job into a new table of a new schema', async () => {
  const job = jobInto('Fresh.Scores')
  await runJob(job, 2)
  const result = await sink.finalise(job, 20n)
  expect(result).toEqual({ rows: 20n, bytes: expect.any(BigInt), location: 'fresh.scores' })
  expect(result.bytes).toBeGreaterThan(20n * 16n)
  expect(await ids('fresh.scores')).toEqual(upTo(20))
})

test('jobs that create different tables of the same new schema at the same time', async () => {
  const jobs = [1, 2, 3, 4].map((i) => jobInto(`brand_new.t${i}`))
  await Promise.all(jobs.map((job) => runJob(job, 1)))
  for (const i of [1, 2, 3, 4]) expect(await ids(`brand_new.t${i}`)).toEqual(upTo(10))
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

test('a transaction that began before an overwrite sees the old rows after it', async () => {
  await client.query('CREATE TABLE watched (id bigint, score float8); INSERT INTO watched VALUES (-1, 0)')
  const reader = await openClient(url)
  await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await reader.query('SELECT 1')
  const job = jobInto('watched')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  await lane.end()
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

test('statements that each end in time, and not together, are rolled back at the deadline', async () => {
  await client.query(`
CREATE TABLE slow (id bigint, score float8); INSERT INTO slow VALUES (-1, 0);
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END';
CREATE TRIGGER dawdle AFTER DELETE OR INSERT ON slow FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`)
  const job = jobInto('slow')
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([chunk(0)])
  await lane.end()
  const late = sink.finalise(job, 10n, Date.now() + 1_200)
  await expect(late).rejects.toMatchObject({ message: expect.stringMatching(/statement timeout/) })
  expect(await ids('slow')).toEqual([-1])
  await sink.finalise(job, 10n)
  expect(await ids('slow')).toEqual(upTo(10))
})

test('a write that the server refuses before it reads the data leaves the connection in order', async () => {
  const columns: Column[] = [{ name: 't', kind: 'utf8' }]
  const job = tableJob(tableOutput('refused'), columns, { chunkRows: 1 })
  await sink.prepare(job)
  const [winner, loser] = [await sink.openLane(job, 0), await sink.openLane(job, 0)]
  const data = Buffer.alloc(8_000_000, 'x')
  const vectors = [{ validity: null, nullCount: 0, offsets: Int32Array.of(0, data.length), data }]
  const big = [{ seq: 0, batch: { columns, vectors, rows: 1 }, failed: [] }]
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
    lane.write([{ seq: 0, batch: { columns, vectors: [text(t), text(n)], rows: 1 }, failed: [] }])
  await expect(write('zero \0', '1')).rejects.toMatchObject({ code: 'write_failed', retriable: false })
  await expect(write('a', 'one')).rejects.toMatchObject({
    code: 'write_failed',
    retriable: false,
    message: expect.stringContaining('"one"'),
  })
  expect(lane.position.chunks).toBe(0)
  expect(await write('a', '1.50')).toMatchObject({ chunks: 1 })
})

test('an attempt that was discarded, or never prepared, has no staging, and says so', async () => {
  const job = jobInto('zombie')
  await expect(sink.openLane(job, 0)).rejects.toMatchObject({ code: 'staging_missing', retriable: false })
  await sink.prepare(job)
  const zombie = await sink.openLane(job, 0)
  await sink.discard(job)
  await expect(zombie.write([chunk(0)])).rejects.toMatchObject({ code: 'lane_taken' })
  await expect(sink.openLane(job, 0)).rejects.toMatchObject({ code: 'staging_missing' })
  await expect(sink.finalise(job, 0n)).rejects.toMatchObject({ code: 'staging_missing' })
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
