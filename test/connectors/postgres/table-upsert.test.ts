// Mode upsert: rows are merged on their key, all of them or none, and what the job does not write stays.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Problem, Sink, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { JobOutput } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { asRole, columnsOf, connectTo, jobInput, openClient, stageQuery, tableOutput, writeQuery } from './jobs.ts'

const role = `merger_${process.pid}`
let url: string
let connectors: { sink: Sink; source: Source }
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  url = await freshDatabase('pg-table-upsert')
  client = await openClient(url)
  await client.query(`CREATE ROLE ${role} LOGIN`)
  const settings = { ...connectTo(url), connections: { warehouse: url, limited: asRole(url, role) } }
  connectors = { sink: createTableSink(settings), source: createPostgresSource(settings) }
})

afterAll(async () => {
  await Promise.all([connectors.sink.close(), connectors.source.close()])
  await client.query(`GRANT ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`)
})

function into(table: string, ...keys: string[]): JobOutput {
  return tableOutput(table, 'upsert', { key_columns: keys.length ? keys : null })
}

async function check(query: string, output: JobOutput): Promise<Problem[]> {
  return connectors.sink.check(output, await columnsOf(connectors.source, query), jobInput(query))
}

async function rowsOf(table: string): Promise<unknown[]> {
  return (await client.query({ text: `SELECT * FROM ${table} ORDER BY 1, 2`, rowMode: 'array' })).rows
}

const TWO = `SELECT * FROM (VALUES (2::int, 0.25::float8), (3, 0.75)) AS v (id, score)`

test('rows with a known key are replaced, others come in, and what the job does not write stays', async () => {
  await client.query(`CREATE TABLE merged (id int PRIMARY KEY, score float8, note text DEFAULT 'new');
INSERT INTO merged VALUES (1, 0.1, 'one'), (2, 0.2, 'two')`)
  expect(await check(TWO, into('merged', 'id'))).toEqual([])
  expect(await writeQuery(connectors, TWO, into('merged', 'id'))).toMatchObject({ rows: 2n, location: 'public.merged' })
  expect(await rowsOf('merged')).toEqual([
    [1, 0.1, 'one'],
    [2, 0.25, 'two'],
    [3, 0.75, 'new'],
  ])
})

test('a new target gets the key as its primary key, named after it, so that the next job merges into it', async () => {
  const output = into('Fresh.Merged', 'id', 'day')
  const query = (score: number) => `SELECT 1::int AS id, ${score}::float8 AS score, date '2025-01-01' AS day`
  expect(await check(query(1), output)).toEqual([])
  await writeQuery(connectors, query(1), output)
  await writeQuery(connectors, `${query(2)} UNION ALL SELECT 2, 3, '2025-01-01'`, output)
  expect((await rowsOf('fresh.merged')).map((row) => (row as unknown[]).slice(0, 2))).toEqual([
    [1, 2],
    [2, 3],
  ])
  expect(
    (
      await client.query(
        `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'merged' AND schemaname = 'fresh'`,
      )
    ).rows,
  ).toEqual([
    {
      indexname: 'merged_pkey',
      indexdef: expect.stringContaining('UNIQUE INDEX merged_pkey ON fresh.merged USING btree (id, day)'),
    },
  ])
})

test('jobs that create the same target at the same time: the later one merges', async () => {
  const queries = [1, 2, 3].map(
    (score) => `SELECT i::int AS id, ${score}::int AS score FROM generate_series(1, 500) AS i`,
  )
  await Promise.all(queries.map((query) => writeQuery(connectors, query, into('raced', 'id'))))
  expect(
    (await client.query('SELECT count(*)::int AS n, count(DISTINCT score)::int AS writers FROM raced')).rows,
  ).toEqual([{ n: 500, writers: 1 }])
})

test('where every column is a key, known rows stay', async () => {
  await client.query('CREATE TABLE pairs (a int, b text, UNIQUE (b, a)); INSERT INTO pairs VALUES (1, $$x$$)')
  await writeQuery(connectors, `SELECT * FROM (VALUES (1, 'x'), (2, 'x')) AS v (a, b)`, into('pairs', 'a', 'b'))
  expect(await rowsOf('pairs')).toEqual([
    [1, 'x'],
    [2, 'x'],
  ])
})

test('a partitioned target, and a primary key that carries other columns', async () => {
  await client.query(`CREATE TABLE split (id int, score float8, PRIMARY KEY (id) INCLUDE (score)) PARTITION BY RANGE (id);
CREATE TABLE split_low PARTITION OF split FOR VALUES FROM (0) TO (3); CREATE TABLE split_high PARTITION OF split FOR VALUES FROM (3) TO (9);
INSERT INTO split VALUES (2, 0)`)
  expect(await check(TWO, into('split', 'id'))).toEqual([])
  await writeQuery(connectors, TWO, into('split', 'id'))
  expect([await rowsOf('split_low'), await rowsOf('split_high')]).toEqual([[[2, 0.25]], [[3, 0.75]]])
})

describe('keys that are not sound change nothing', () => {
  beforeAll(() =>
    client.query('CREATE TABLE sound (id int UNIQUE, day date, score float8); INSERT INTO sound VALUES (1, NULL, 0)'),
  )

  test.each([
    ['a NULL key', 'SELECT 7::int AS id, 1::float8 AS score UNION ALL SELECT NULL, 2', 'null_key', '(id) = (NULL)'],
    [
      'a key twice',
      'SELECT 1::int AS id, 1::float8 AS score UNION ALL SELECT 1, 2',
      'duplicate_key',
      '2 rows of the result have the key (id) = (1)',
    ],
    [
      'a key twice once the target has rounded it',
      'SELECT 1.1::float8::numeric(3,1) AS id, 1::float8 AS score UNION ALL SELECT 1.2, 2',
      'duplicate_key',
      'a second time',
    ],
  ])('%s', async (_what, query, code, says) => {
    const { job, rows } = await stageQuery(connectors, query, into('sound', 'id'))
    for (let i = 0; i < 2; i++) {
      await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({
        code,
        retriable: false,
        message: expect.stringMatching(
          new RegExp(`${says.replaceAll(/[()]/g, '\\$&')}[\\s\\S]*public.sound is as it was`),
        ),
      })
    }
    expect(await rowsOf('sound')).toEqual([[1, null, 0]])
    await connectors.sink.discard(job)
  })

  test('nor do they make a new table', async () => {
    const { job, rows } = await stageQuery(
      connectors,
      'SELECT 1::int AS id, NULL::text AS part',
      into('unborn', 'id', 'part'),
    )
    await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({
      code: 'null_key',
      message: expect.stringContaining('(id, part) = (1, NULL)'),
    })
    expect((await client.query(`SELECT to_regclass('unborn') AS target`)).rows).toEqual([{ target: null }])
  })
})

test('finalising twice, or again after the server ended it in the middle, merges once', async () => {
  await client.query(`CREATE TABLE halted (id int PRIMARY KEY, score float8, times int DEFAULT 0);
CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.times := NEW.times + 1; RETURN NEW; END $$;
CREATE TRIGGER times BEFORE INSERT OR UPDATE ON halted FOR EACH ROW EXECUTE FUNCTION count_writes();
INSERT INTO halted VALUES (2, 0), (3, 0)`)
  const { job, rows } = await stageQuery(connectors, TWO, into('halted', 'id'))
  // Holds one of the rows, so that the merge is certainly under way when its backend is ended.
  const blocker = await openClient(url)
  await blocker.query('BEGIN; SELECT FROM halted WHERE id = 3 FOR UPDATE')
  const finalised = connectors.sink.finalise(job, rows)
  const kill = `SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE query LIKE '%"halted"%ON CONFLICT%' AND wait_event_type = 'Lock'`
  const killed = until(async () => (await client.query<{ n: number }>(kill)).rows[0]?.n)
  await expect(finalised).rejects.toMatchObject({ code: 'database_unavailable', retriable: true })
  await killed
  await blocker.query('ROLLBACK')
  expect(await rowsOf('halted')).toEqual([
    [2, 0, 1],
    [3, 0, 1],
  ])
  const results = [await connectors.sink.finalise(job, rows), await connectors.sink.finalise(job, rows)]
  expect(results[0]).toEqual(results[1])
  expect(await rowsOf('halted')).toEqual([
    [2, 0.25, 2],
    [3, 0.75, 2],
  ])
})

describe('what is refused at submission', () => {
  beforeAll(() =>
    client.query(`
CREATE TABLE loose (id int, score float8);
CREATE TABLE nearly (id int, part int, score float8, UNIQUE (id, part), UNIQUE (score) DEFERRABLE);
CREATE UNIQUE INDEX ON nearly (id) WHERE part = 1; CREATE UNIQUE INDEX ON nearly ((id + 1)); CREATE INDEX ON nearly (id);
CREATE TABLE counted (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, score float8 GENERATED ALWAYS AS (1.5) STORED);
CREATE TABLE by_default (id int PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, score float8);
CREATE TABLE ruled (id int PRIMARY KEY, score float8); CREATE RULE nothing AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE TABLE elder (id int PRIMARY KEY, score float8); CREATE TABLE younger () INHERITS (elder);
CREATE TABLE guarded (id int PRIMARY KEY, score float8);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY`),
  )

  test.each<[string, string[], string, string | RegExp]>([
    ['no key', [], 'key_required', /input\.key_column/],
    ['a key that the output has not', ['id', 'ID'], 'column_unknown', /ID; there are id, score/],
    ['a key twice', ['id', 'id'], 'column_conflict', /id twice/],
  ])('%s', async (_what, keys, code, says) => {
    expect(await check(TWO, into('loose', ...keys))).toEqual([
      { code, pointer: '/output/key_columns', detail: expect.stringMatching(says) },
    ])
  })

  test('a key without equality', async () => {
    expect(await check(`SELECT '{}'::json AS id`, into('json_keys', 'id'))).toMatchObject([
      { code: 'key_not_comparable', detail: expect.stringContaining('jsonb') },
    ])
  })

  test('no unique index on exactly the keys, with the statement that makes one', async () => {
    expect(await check(TWO, into('loose', 'id'))).toMatchObject([
      { code: 'key_not_unique', detail: expect.stringContaining('CREATE UNIQUE INDEX ON "public"."loose" ("id")') },
    ])
    for (const key of ['id', 'score']) {
      expect(await check(TWO, into('nearly', key))).toMatchObject([
        { code: 'key_not_unique', pointer: '/output/key_columns' },
      ])
    }
    const both = 'SELECT 1::int AS part, 1::int AS id, 1::float8 AS score'
    expect(await check(both, into('nearly', 'part', 'id'))).toEqual([])
  })

  test('an index that is dropped while the job runs', async () => {
    await client.query('CREATE TABLE bare (id int, score float8)')
    const { job, rows } = await stageQuery(connectors, TWO, into('bare', 'id'))
    await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({
      code: 'key_not_unique',
      retriable: false,
      message: expect.stringContaining('CREATE UNIQUE INDEX'),
    })
    expect(await rowsOf('bare')).toEqual([])
  })

  test('columns that the table generates, but not an identity that is only a default', async () => {
    expect(await check(TWO, into('counted', 'id'))).toMatchObject([
      {
        code: 'column_mismatch',
        detail: expect.stringMatching(
          /id is generated by the table \(ALWAYS AS IDENTITY\).*SET GENERATED BY DEFAULT.*score is generated/,
        ),
      },
    ])
    expect(await check(TWO, into('by_default', 'id'))).toEqual([])
    await writeQuery(connectors, TWO, into('by_default', 'id'))
    expect(await rowsOf('by_default')).toEqual([
      [2, 0.25],
      [3, 0.75],
    ])
  })

  test.each([
    ['ruled', 'table_has_rules'],
    ['elder', 'table_inherited'],
    ['guarded', 'table_row_security'],
  ])('%s: %s', async (table, code) => {
    expect(await check(TWO, into(table, 'id'))).toMatchObject([{ code, pointer: '/output/table_name' }])
  })

  test('privileges to update and to read the keys', async () => {
    await client.query(
      `GRANT ALL ON SCHEMA scoreline_sink TO ${role}; CREATE TABLE owned (id int PRIMARY KEY, score float8); GRANT INSERT ON owned TO ${role}`,
    )
    const output = { ...into('owned', 'id'), connection: 'limited' }
    expect((await check(TWO, output)).map((problem) => problem.detail).join('\n')).toMatch(
      /may not write the ledger.*GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES[\s\S]*may not update public\.owned \(score\).*GRANT UPDATE[\s\S]*may not read public\.owned \(id, score\).*GRANT SELECT/,
    )
    await client.query(`GRANT ALL ON ALL TABLES IN SCHEMA scoreline_sink TO ${role};
GRANT UPDATE (score), SELECT (id, score) ON owned TO ${role}`)
    expect(await check(TWO, output)).toEqual([])
    await writeQuery(connectors, TWO, output)
    await writeQuery(connectors, TWO, output)
    expect(await rowsOf('owned')).toEqual([
      [2, 0.25],
      [3, 0.75],
    ])
  })
})
