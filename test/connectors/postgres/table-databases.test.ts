// Targets in other databases than the query's, targets that are the query's own source whichever way, and the mode error.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Problem, Sink, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import { WRITE_MODES, type WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { asRole, columnsOf, connectTo, jobInput, openClient, stageQuery, tableOutput, writeQuery } from './jobs.ts'

const role = `stranger_${process.pid}`
let url: string
let connectors: { sink: Sink; source: Source }
let client: Awaited<ReturnType<typeof openClient>>
let lake: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  url = await freshDatabase('pg-table-here')
  const lakeUrl = await freshDatabase('pg-table-lake')
  client = await openClient(url)
  lake = await openClient(lakeUrl)
  await client.query(`CREATE ROLE ${role} LOGIN; CREATE SCHEMA away; GRANT USAGE ON SCHEMA away TO ${role};
CREATE TABLE scores (id int PRIMARY KEY, score float8); CREATE TABLE away.scores (LIKE scores INCLUDING ALL);
GRANT SELECT ON ALL TABLES IN SCHEMA public, away TO ${role}`)
  const elsewhere = new URL(url)
  elsewhere.searchParams.set('options', '-c search_path=away')
  const connections = {
    warehouse: url,
    same: `${url}?application_name=other`,
    role: asRole(url, role),
    elsewhere: elsewhere.href,
    lake: lakeUrl,
    lake_role: asRole(lakeUrl, role),
  }
  const settings = { ...connectTo(url), connections }
  connectors = { sink: createTableSink(settings), source: createPostgresSource(settings) }
})

afterAll(async () => {
  await Promise.all([connectors.sink.close(), connectors.source.close()])
  await client.query(`GRANT ${role} TO CURRENT_USER; DROP OWNED BY ${role}`)
  await lake.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
})

const QUERY = 'SELECT id::int, id * 1.5::float8 AS score FROM generate_series(1, 1000) AS id'

async function check(
  table: string,
  mode: WriteMode,
  { query = QUERY, input = 'warehouse', output = 'warehouse' } = {},
): Promise<Problem[]> {
  const target = tableOutput(table, mode, { connection: output, key_columns: ['id'] })
  return connectors.sink.check(
    target,
    await columnsOf(connectors.source, QUERY),
    jobInput(query, { connection: input }),
  )
}

describe('another database', () => {
  test.each(['overwrite', 'append', 'upsert'] as const)(
    '%s into a new table and into one that is there',
    async (mode) => {
      await client.query(
        'CREATE TABLE IF NOT EXISTS origin AS SELECT id, id * 0.5::float8 AS score FROM generate_series(1, 3000) AS id',
      )
      const output = tableOutput(`from_${mode}`, mode, { connection: 'lake', key_columns: ['id'] })
      for (const half of ['WHERE id <= 2000', 'WHERE id > 1000']) {
        const query = `SELECT id, score FROM origin ${half}`
        expect(await connectors.sink.check(output, await columnsOf(connectors.source, query), jobInput(query))).toEqual(
          [],
        )
        await writeQuery(connectors, query, output)
      }
      const { rows } = await lake.query(`SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM from_${mode}`)
      expect(rows).toEqual([
        { overwrite: { n: 2000, ids: 2000 }, append: { n: 4000, ids: 3000 }, upsert: { n: 3000, ids: 3000 } }[mode],
      ])
      const own = `SELECT to_regclass('scoreline_sink.ledger') IS NOT NULL AS ledger`
      expect([(await lake.query(own)).rows, (await client.query(own)).rows]).toEqual([
        [{ ledger: true }],
        [{ ledger: false }],
      ])
    },
  )

  test('a role that may not make the ledger is told at submission what it needs', async () => {
    const [problem, ...others] = await check('scores', 'append', { output: 'role' })
    expect(problem).toMatchObject({
      code: 'permission_denied',
      pointer: '/output/connection',
      detail: expect.stringMatching(
        /may not create, in the database pg_table_here_\w+, staging tables.*GRANT CREATE ON DATABASE/,
      ),
    })
    expect(others).toMatchObject([{ detail: expect.stringContaining('GRANT INSERT') }])
    expect(await check('fresh.t', 'append', { output: 'lake_role' })).toMatchObject([
      {
        code: 'permission_denied',
        pointer: '/output/connection',
        detail: expect.stringContaining('GRANT USAGE, CREATE ON SCHEMA scoreline_sink'),
      },
      { code: 'permission_denied', pointer: '/output/table_name' },
    ])
  })
})

describe('a query that reads the target', () => {
  beforeAll(() =>
    client.query(`
CREATE VIEW seen AS SELECT * FROM scores WHERE id > 0; CREATE VIEW seen_twice AS SELECT count(*) AS n FROM seen;
CREATE MATERIALIZED VIEW frozen AS SELECT * FROM scores;
CREATE TABLE sliced (id int PRIMARY KEY, score float8) PARTITION BY RANGE (id);
CREATE TABLE sliced_low PARTITION OF sliced FOR VALUES FROM (0) TO (10); CREATE TABLE sliced_high PARTITION OF sliced DEFAULT;
CREATE TABLE heir () INHERITS (scores); GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`),
  )

  const reading = (problems: Problem[]) => problems.filter((problem) => problem.code === 'output_is_source')

  test.each(WRITE_MODES)('in mode %s', async (mode) => {
    const problems = await check('scores', mode, { query: 'SELECT id, score FROM scores' })
    expect(reading(problems)).toEqual([
      {
        code: 'output_is_source',
        pointer: '/output/table_name',
        detail: expect.stringContaining('the query reads public.scores (as "scores")'),
      },
    ])
  })

  test.each<[string, string, string, boolean]>([
    ['in a subquery', 'SELECT 1 AS id WHERE EXISTS (SELECT FROM public.scores)', 'scores', true],
    ['through views', 'SELECT n AS id FROM seen_twice', 'scores', true],
    ['below a CTE of its name', 'WITH scores AS (SELECT * FROM scores) SELECT id FROM scores', 'scores', true],
    [
      'not, but a CTE of its name',
      'WITH scores AS (SELECT 1 AS id), b AS (SELECT * FROM scores) SELECT * FROM scores, b',
      'scores',
      false,
    ],
    [
      'not, but a recursive CTE of its name',
      'WITH RECURSIVE scores AS (SELECT 1 AS id UNION SELECT id + 1 FROM scores) SELECT * FROM scores',
      'scores',
      false,
    ],
    [
      'in a CTE that comes before another of its name',
      'WITH a AS (SELECT * FROM scores), scores AS (SELECT 1) SELECT * FROM a',
      'scores',
      true,
    ],
    [
      'outside the scope of a CTE of its name',
      'SELECT (WITH scores AS (SELECT 1 AS x) SELECT x FROM scores), id FROM scores',
      'scores',
      true,
    ],
    ['not, but a materialised view', 'SELECT id FROM frozen', 'scores', false],
    ['not, but its namesake', 'SELECT id FROM away.scores', 'scores', false],
    ['as a partition of it', 'SELECT id FROM sliced_low', 'sliced', true],
    ['as the whole of which it is a part', 'SELECT id FROM sliced', 'sliced_low', true],
    ['not, but another partition', 'SELECT id FROM sliced_low', 'sliced_high', false],
    ['as its parent', 'SELECT id FROM scores', 'heir', true],
    ['not, for it is not there', 'SELECT id FROM scores', 'fresh', false],
  ])('%s', async (_what, query, table, expected) => {
    expect(reading(await check(table, 'append', { query }))).toHaveLength(expected ? 1 : 0)
  })

  test.each([
    ['another URL of the database', { input: 'same' }, true],
    ['another role', { input: 'role' }, true],
    ['another role for the output', { output: 'role' }, true],
    ['a search_path that finds another table', { input: 'elsewhere' }, false],
    ['another database with a table of that name', { output: 'lake' }, false],
  ])('by %s', async (_what, connections, expected) => {
    await lake.query('CREATE TABLE IF NOT EXISTS scores (id int PRIMARY KEY, score float8)')
    const problems = await check('scores', 'append', { query: 'SELECT id FROM scores', ...connections })
    expect(reading(problems)).toHaveLength(expected ? 1 : 0)
  })

  test('by a search_path that finds the target', async () => {
    const problems = await check('away.scores', 'append', { query: 'SELECT id FROM scores', input: 'elsewhere' })
    expect(reading(problems)).toMatchObject([{ detail: expect.stringContaining('the query reads away.scores') }])
  })
})

test('a new table gets the default privileges of its schema', async () => {
  await client.query(`CREATE SCHEMA "Shared Results"; ALTER DEFAULT PRIVILEGES IN SCHEMA "Shared Results" GRANT SELECT, INSERT ON TABLES TO ${role};
ALTER DEFAULT PRIVILEGES IN SCHEMA "Shared Results" GRANT SELECT ON TABLES TO PUBLIC`)
  await client.query('CREATE TABLE "Shared Results".by_hand (id int)')
  await writeQuery(connectors, QUERY, tableOutput('"Shared Results"."By job"', 'error'))
  const { rows } = await client.query<{ acl: string }>(
    `SELECT relacl::text AS acl FROM pg_class WHERE relnamespace = '"Shared Results"'::regnamespace AND relkind = 'r'`,
  )
  const entries = rows.map((row) => row.acl.slice(1, -1).split(',').sort())
  expect(entries).toHaveLength(2)
  expect(entries[0]).toEqual(entries[1])
  expect(entries[0]).toHaveLength(3)
})

test('roles with an isolation of their own: finalisers at the same time still wait and see', async () => {
  await client.query(`ALTER DATABASE ${client.database} SET default_transaction_isolation = 'repeatable read'`)
  const strict = { ...connectors, sink: createTableSink(connectTo(url)) }
  const { job, rows } = await stageQuery(strict, QUERY, tableOutput('isolated', 'append'))
  const results = await Promise.all([1, 2, 3, 4].map(() => strict.sink.finalise(job, rows)))
  expect(results).toEqual(results.map(() => results[0]))
  expect((await client.query('SELECT count(*)::int AS n FROM isolated')).rows).toEqual([{ n: 1000 }])
  await strict.sink.close()
})

describe('mode error', () => {
  test('writes a new table, and again when it is asked to finalise again', async () => {
    expect(await check('once', 'error')).toEqual([])
    const { job, rows } = await stageQuery(connectors, QUERY, tableOutput('once', 'error'))
    const result = await connectors.sink.finalise(job, rows)
    expect(await connectors.sink.finalise(job, rows)).toEqual(result)
    expect((await client.query('SELECT count(*)::int AS n FROM once')).rows).toEqual([{ n: 1000 }])
  })

  test.each(['scores', 'seen', 'scores_pkey'])('refuses %s, which is there', async (name) => {
    const query = 'SELECT 1 AS id'
    expect(await check(name, 'error', { query })).toEqual([
      { code: 'table_exists', pointer: '/output/table_name', detail: expect.stringContaining(`public.${name} exists`) },
    ])
    const { job, rows } = await stageQuery(connectors, query, tableOutput(name, 'error'))
    await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({ code: 'table_exists', retriable: false })
    await connectors.sink.discard(job)
  })

  test('a table that somebody makes at the moment of finalising stays theirs', async () => {
    const { job, rows } = await stageQuery(connectors, QUERY, tableOutput('snatched', 'error'))
    const other = await openClient(url)
    await other.query('BEGIN; CREATE TABLE snatched (theirs int)')
    const finalised = connectors.sink.finalise(job, rows)
    // Nobody else is in this database; the text that Postgres shows of a query is cut before the table's name.
    const waiting = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
    const blocked = until(async () => (await client.query<{ n: number }>(waiting)).rows[0]?.n).then(() =>
      other.query('COMMIT'),
    )
    await expect(finalised).rejects.toMatchObject({ code: 'database_busy', retriable: true })
    await blocked
    await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({ code: 'table_exists', retriable: false })
    expect((await client.query('SELECT * FROM snatched')).fields.map((field) => field.name)).toEqual(['theirs'])
  })
})
