// Who reads the target while a job is finalised sees all of the old rows or all of the new ones, and never waits.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sink, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { connectTo, openClient, stageQuery, tableOutput, writeQuery } from './jobs.ts'

const ROWS = 2000
const GATE = 4711

let url: string
let connectors: { sink: Sink; source: Source }
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  url = await freshDatabase('pg-table-readers')
  client = await openClient(url)
  connectors = { sink: createTableSink(connectTo(url)), source: createPostgresSource(connectTo(url)) }
  // A row in the middle of the merge waits at the gate for as long as the test holds it.
  await client.query(`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.id = ${ROWS / 2} THEN PERFORM pg_advisory_xact_lock_shared(${GATE}); END IF; RETURN NEW; END $$`)
})

afterAll(async () => {
  await Promise.all([connectors.sink.close(), connectors.source.close()])
})

/** What a reader may see, as `rows of version 0 / rows of version 1`: version 0 has the even ids, version 1 all of them. */
const EXPECTED: Record<Exclude<WriteMode, 'error'>, { old: string; new: string }> = {
  overwrite: { old: `${ROWS / 2}/0`, new: `0/${ROWS}` },
  append: { old: `${ROWS / 2}/0`, new: `${ROWS / 2}/${ROWS}` },
  upsert: { old: `${ROWS / 2}/0`, new: `0/${ROWS}` },
}

const SEEN = `SELECT count(*) FILTER (WHERE version = 0) || '/' || count(*) FILTER (WHERE version = 1) AS seen FROM gated`

/** Reads until `done`, a statement at a time or two in a snapshot, and returns all that it saw. */
async function watch(isolation: string, seen: string[], done: () => boolean): Promise<void> {
  const reader = await openClient(url)
  const look = async () => (await reader.query<{ seen: string }>(SEEN)).rows[0]?.seen ?? ''
  await reader.query(`SET statement_timeout = '20s'`)
  while (!done()) {
    await reader.query(`BEGIN ISOLATION LEVEL ${isolation}`)
    const [first, second] = [await look(), await look()]
    if (isolation === 'REPEATABLE READ') expect(second).toBe(first)
    seen.push(first, second)
    await reader.query('COMMIT')
  }
}

test.each(['overwrite', 'append', 'upsert'] as const)('%s', async (mode) => {
  const unique = mode === 'append' ? '' : 'PRIMARY KEY'
  await client.query(`DROP TABLE IF EXISTS gated; CREATE TABLE gated (id int ${unique}, version int);
INSERT INTO gated SELECT id, 0 FROM generate_series(2, ${ROWS}, 2) AS id;
CREATE TRIGGER gate BEFORE INSERT ON gated FOR EACH ROW EXECUTE FUNCTION gate()`)
  const query = `SELECT id::int, 1::int AS version FROM generate_series(1, ${ROWS}) AS id`
  const { job, rows } = await stageQuery(connectors, query, tableOutput('gated', mode, { key_columns: ['id'] }))
  await client.query('SELECT pg_advisory_lock($1)', [GATE])

  let finished = false
  const finalised = connectors.sink.finalise(job, rows).finally(() => {
    finished = true
  })
  const waiting = `SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()
AND l.locktype = 'advisory' AND l.objid = $1 AND NOT l.granted`
  const pid = await until(async () => (await client.query<{ pid: number }>(waiting, [GATE])).rows[0]?.pid)

  // Half of the rows are written. These are the locks on the target and its index; readers need ACCESS SHARE, which only ACCESS EXCLUSIVE forbids.
  const locks = await client.query<{ mode: string }>(
    `SELECT DISTINCT mode FROM pg_locks WHERE pid = $1 AND relation IN (SELECT 'gated'::regclass UNION SELECT indexrelid FROM pg_index WHERE indrelid = 'gated'::regclass) ORDER BY 1`,
    [pid],
  )
  expect(locks.rows.map((row) => row.mode)).toEqual(
    mode === 'overwrite' ? ['RowExclusiveLock', 'ShareRowExclusiveLock'] : ['RowExclusiveLock'],
  )

  const seen: Record<string, string[]> = { 'READ COMMITTED': [], 'REPEATABLE READ': [] }
  const expected = EXPECTED[mode]
  const sawNew = () => finished && Object.values(seen).every((each) => each.at(-1) === expected.new)
  const readers = Object.entries(seen).map(([isolation, list]) => watch(isolation, list, sawNew))
  await until(() => Object.values(seen).every((each) => each.length > 10), {
    what: 'both readers read while half is written',
  })
  expect(new Set(Object.values(seen).flat())).toEqual(new Set([expected.old]))
  await client.query('SELECT pg_advisory_unlock($1)', [GATE])
  await finalised
  await Promise.all(readers)
  for (const each of Object.values(seen)) expect([...new Set(each)]).toEqual([expected.old, expected.new])
})

test('a new table appears with all its rows', async () => {
  const { job, rows } = await stageQuery(connectors, `SELECT generate_series(1, ${ROWS}) AS id`, tableOutput('appears'))
  const seen: number[] = []
  const reader = await openClient(url)
  const count = async () => {
    const [{ there } = {}] = (
      await reader.query<{ there: boolean }>(`SELECT to_regclass('appears') IS NOT NULL AS there`)
    ).rows
    return there ? ((await reader.query<{ n: number }>('SELECT count(*)::int AS n FROM appears')).rows[0]?.n ?? 0) : -1
  }
  seen.push(await count())
  const finalised = connectors.sink.finalise(job, rows)
  await until(async () => seen.push(await count()) && seen.at(-1) === ROWS, { everyMs: 0 })
  await finalised
  expect([...new Set(seen)]).toEqual([-1, ROWS])
})

test('who has an old snapshot open keeps its rows while the table is overwritten again and again', async () => {
  await client.query('CREATE TABLE held (id int, version int); INSERT INTO held VALUES (1, 0)')
  const reader = await openClient(url)
  await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  expect((await reader.query('SELECT version FROM held')).rows).toEqual([{ version: 0 }])
  for (const version of [1, 2])
    await writeQuery(connectors, `SELECT 1 AS id, ${version} AS version`, tableOutput('held'))
  expect((await reader.query('SELECT version FROM held')).rows).toEqual([{ version: 0 }])
  await reader.query('COMMIT')
  expect((await reader.query('SELECT version FROM held')).rows).toEqual([{ version: 2 }])
})
