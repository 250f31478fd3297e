// The source on a real server: what it describes, counts and reads, and how it answers when something is wrong.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ConnectorError, type Source } from '../../../connectors/connector.ts'
import { describeQuery } from '../../../connectors/postgres/describe.ts'
import { guardQuery, type PlainSelect } from '../../../connectors/postgres/guard.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import type { Column } from '../../../topics/columns.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { asRole, columnsOf, connectTo, jobInput, openClient, readAll, valuesOf } from './jobs.ts'

let url: string
let source: Source
let client: Awaited<ReturnType<typeof openClient>>
const role = `reader_${process.pid}`

beforeAll(async () => {
  url = await freshDatabase('pg-source')
  client = await openClient(url)
  await client.query(`
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(20), balance numeric(10,2), mood mood, age positive);
INSERT INTO customers SELECT i, 'name ' || i, i * 1.5, 'ok', i FROM generate_series(1, 2500) AS i;
CREATE TABLE secret (id bigint);
CREATE ROLE ${role} LOGIN;
GRANT SELECT ON customers TO ${role}`)
  source = createPostgresSource({ ...connectTo(url), connections: { warehouse: url, limited: asRole(url, role) } })
})

afterAll(async () => {
  await source.close()
  await client.query(`REVOKE ALL ON customers FROM ${role}; DROP ROLE ${role}`)
})

function noAbort(columns: readonly Column[], chunkRows = 1000) {
  return { columns, chunkRows, signal: new AbortController().signal }
}

test('describes names, kinds and declared types', async () => {
  expect(
    await columnsOf(source, 'SELECT *, sum(balance) OVER () AS total, NULL AS nothing FROM customers -- all'),
  ).toEqual([
    { name: 'id', kind: 'int64', sqlType: 'bigint' },
    { name: 'name', kind: 'utf8', sqlType: 'character varying(20)' },
    { name: 'balance', kind: 'decimal', precision: 10, scale: 2, sqlType: 'numeric(10,2)' },
    { name: 'mood', kind: 'utf8', sqlType: 'mood' },
    { name: 'age', kind: 'int32', sqlType: 'integer' },
    { name: 'total', kind: 'numeric', sqlType: 'numeric' },
    { name: 'nothing', kind: 'utf8', sqlType: 'text' },
  ])
})

test('built-in types are asked for once, those that somebody has made each time', async () => {
  const [builtIn, made] = await Promise.all(
    ['SELECT id, balance FROM customers', 'SELECT id, mood FROM customers'].map(async (text) => {
      const guarded = await guardQuery(text)
      if ('problem' in guarded) throw new Error(guarded.problem.detail)
      return guarded.select
    }),
  )
  const described = async (select: typeof builtIn) => {
    const asked = vi.spyOn(client, 'query')
    const { columns = [] } = (await describeQuery(client, select?.text ?? '', select as PlainSelect)) as {
      columns?: Column[]
    }
    const names = asked.mock.calls.filter(([text]) => String(text).includes('format_type')).length
    asked.mockRestore()
    return { types: columns.map(({ sqlType }) => sqlType), names }
  }
  await described(builtIn)
  expect(await described(builtIn)).toEqual({ types: ['bigint', 'numeric(10,2)'], names: 0 })
  await described(made)
  await client.query('ALTER TYPE mood RENAME TO temper')
  expect(await described(made)).toEqual({ types: ['bigint', 'temper'], names: 1 })
  await client.query('ALTER TYPE temper RENAME TO mood')
})

test('describing runs nothing', async () => {
  const started = performance.now()
  await columnsOf(source, 'SELECT pg_sleep(30)::text AS slept, 1 / (random() * 0)::int AS boom FROM customers')
  expect(performance.now() - started).toBeLessThan(5_000)
})

test.each([
  ['SELECT * FROM nowhere', 'table_not_found', /relation "nowhere" does not exist \(line 1, column 15\)/],
  ['SELECT * FROM nowhere.x', 'table_not_found', /nowhere/],
  [
    '-- é\n  ; SELECT id,\n namme FROM customers',
    'column_not_found',
    /namme.*Hint: .*customers\.name.* \(line 3, column 2\)/,
  ],
  ['SELECT nofunction(id) FROM customers', 'function_not_found', /nofunction\(bigint\)/],
  ['SELECT id + name AS x FROM customers', 'function_not_found', /bigint \+ character varying/],
  ["SELECT 'x'::int AS x", 'sql_invalid', /invalid input syntax for type integer/],
  ['SELECT 1/0 AS x', 'sql_invalid', /division by zero/],
  ['SELECT id, id FROM customers', 'duplicate_column', /more than one column id.*alias/],
  ['SELECT id, 1 + 1 FROM customers', 'duplicate_column', /column 2 has no name.*alias/],
  [
    "SELECT id, interval '1 day' AS d FROM customers",
    'unsupported_column_type',
    /column d has the type interval.*d::text/,
  ],
  ['SELECT ARRAY[id] AS ids FROM customers', 'unsupported_column_type', /ids has the type bigint\[\]/],
  ['SELECT FROM customers', 'no_columns', /at least one column/],
  ['SELECT 1; SELECT 2', 'sql_multiple_statements', /one statement/],
])('a fault of the query is a problem: %s', async (query, code, detail) => {
  const described = await source.describe(jobInput(query))
  expect(described).toMatchObject({
    problems: [{ code, pointer: '/input/query', detail: expect.stringMatching(detail) }],
  })
})

test('permissions are checked without running the query', async () => {
  const described = await source.describe(jobInput('SELECT * FROM secret', { connection: 'limited' }))
  expect(described).toMatchObject({
    problems: [{ code: 'permission_denied', detail: expect.stringContaining('secret') }],
  })
})

test('an unknown connection is answered with the known ones, a missing key column with the query’s', async () => {
  expect(await source.describe(jobInput('SELECT 1; SELECT 2', { connection: 'lake' }))).toMatchObject({
    problems: [
      {
        code: 'unknown_connection',
        pointer: '/input/connection',
        detail: expect.stringContaining('(limited, warehouse)'),
      },
      { code: 'sql_multiple_statements' },
    ],
  })
  expect(await source.describe(jobInput('SELECT 1 AS a', { key_column: 'b' }))).toMatchObject({
    problems: [{ code: 'column_not_found', pointer: '/input/key_column' }],
  })
})

test('a database that is away is a retriable error, one that refuses the role is not', async () => {
  const away = createPostgresSource(connectTo('postgres://nobody@127.0.0.1:1/nowhere'))
  await expect(away.describe(jobInput('SELECT 1 AS a'))).rejects.toMatchObject({
    code: 'database_unavailable',
    retriable: true,
  })
  await away.close()
  const refused = createPostgresSource(connectTo(asRole(url, 'nobody_at_all')))
  await expect(refused.describe(jobInput('SELECT 1 AS a'))).rejects.toMatchObject({
    code: 'database_refused',
    retriable: false,
  })
  await refused.close()
})

test('counts the rows, and estimates when that takes too long', async () => {
  expect(await source.count(jobInput('SELECT id, id FROM customers WHERE id > 500 -- some'), 10_000)).toEqual({
    rows: 2000n,
    estimated: false,
  })
  const slow = 'SELECT * FROM customers WHERE pg_sleep(0.05) IS NOT NULL'
  const counted = await source.count(jobInput(slow), 50)
  expect(counted.estimated).toBe(true)
  expect(counted.rows).toBeGreaterThan(0n)
})

test('reads batches of exactly the rows asked for, in order', async () => {
  const batches = await readAll(source, 'SELECT id, name FROM customers ORDER BY id; -- the end', 1000)
  expect(batches.map((batch) => batch.rows)).toEqual([1000, 1000, 500])
  expect(batches.flatMap((batch) => valuesOf(batch, 'id'))).toEqual(
    Array.from({ length: 2500 }, (_, i) => BigInt(i + 1)),
  )
  expect(await readAll(source, 'SELECT * FROM customers WHERE false')).toEqual([])
  expect((await readAll(source, 'VALUES (1), (2)', 1)).map((batch) => valuesOf(batch, 'column1'))).toEqual([[1], [2]])
})

test('a slow consumer gets every row', async () => {
  const query = "SELECT i, repeat('x', 2000) AS filler FROM generate_series(1, 20000) AS i"
  const columns = await columnsOf(source, query)
  let rows = 0
  for await (const batch of source.read(jobInput(query), noAbort(columns, 100))) {
    rows += batch.rows
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(rows).toBe(20_000)
})

test('values larger than any buffer arrive whole', async () => {
  const [batch] = await readAll(
    source,
    'SELECT i, repeat(chr(8364) || i, 1000000) AS huge FROM generate_series(1, 3) AS i',
  )
  const huge = batch?.vectors[1]
  if (!huge || !('offsets' in huge)) throw new Error('expected a column of variable width')
  const texts = [0, 1, 2].map((i) => Buffer.from(huge.data.subarray(huge.offsets[i], huge.offsets[i + 1])).toString())
  expect(texts.every((text, i) => text === `€${i + 1}`.repeat(1_000_000))).toBe(true)
})

test('a query cannot write, not even by a function', async () => {
  await client.query(
    `CREATE FUNCTION intrude() RETURNS int LANGUAGE sql AS 'INSERT INTO secret VALUES (1) RETURNING 1'`,
  )
  await expect(readAll(source, 'SELECT intrude() AS x')).rejects.toMatchObject({
    code: 'query_failed',
    retriable: false,
  })
  expect((await client.query('SELECT count(*)::int AS n FROM secret')).rows).toEqual([{ n: 0 }])
})

test('an error in the middle comes after the batches before it, with the server’s message', async () => {
  const query = 'SELECT 1 / (1500 - i) AS x FROM generate_series(1, 3000) AS i'
  const columns = await columnsOf(source, query)
  const seen: number[] = []
  const read = async () => {
    for await (const batch of source.read(jobInput(query), noAbort(columns, 100))) seen.push(batch.rows)
  }
  await expect(read()).rejects.toMatchObject({
    name: 'ConnectorError',
    code: 'query_failed',
    retriable: false,
    message: 'division by zero',
  })
  expect(seen.every((rows) => rows === 100)).toBe(true)
  expect(await readAll(source, 'SELECT 1 AS still_works')).toHaveLength(1)
})

test('a query whose columns changed is not read', async () => {
  await client.query('CREATE TABLE shifting (a int, b int)')
  const columns = await columnsOf(source, 'SELECT * FROM shifting')
  await client.query('ALTER TABLE shifting ALTER b TYPE bigint')
  const reading = source.read(jobInput('SELECT * FROM shifting'), noAbort(columns))[Symbol.asyncIterator]().next()
  await expect(reading).rejects.toMatchObject({
    code: 'schema_changed',
    retriable: false,
    message: expect.stringContaining('a int32, b int64'),
  })
})

test('a timestamp that microseconds since 1970 cannot hold is an error, not nonsense', async () => {
  await expect(readAll(source, "SELECT timestamp '294270-01-01' AS t")).rejects.toMatchObject({
    code: 'value_out_of_range',
  })
})

async function activeQueries(marker: string): Promise<number> {
  const text =
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid() AND state = 'active'"
  return (await client.query<{ n: number }>(text, [marker])).rows[0]?.n ?? 0
}

test.each([
  ['computes', 'SELECT count(*) AS computes FROM generate_series(1, 1000000000) AS i', 'computes'],
  ['sends', "SELECT generate_series(1, 100000000) AS sends, repeat('x', 1000) AS filler", 'sends'],
])('an abort ends the query while the server %s', async (_, query, marker) => {
  const columns = await columnsOf(source, query)
  const stop = new AbortController()
  const rows = source.read(jobInput(query), { columns, chunkRows: 100, signal: stop.signal })[Symbol.asyncIterator]()
  // The second case takes one batch and then lets the server wait.
  const pending = marker === 'sends' ? rows.next().then(() => until(() => activeQueries(marker))) : rows.next()
  pending.catch(() => {})
  await until(() => activeQueries(marker))
  stop.abort(new Error('cancelled by the test'))
  await expect(pending.then(() => rows.next())).rejects.toThrow('cancelled by the test')
  await until(async () => (await activeQueries(marker)) === 0)
})

test('a consumer that stops early ends the query', async () => {
  const query = "SELECT generate_series(1, 100000000) AS stopped, repeat('x', 1000) AS filler"
  const columns = await columnsOf(source, query)
  for await (const _ of source.read(jobInput(query), noAbort(columns, 100))) break
  await until(async () => (await activeQueries('stopped')) === 0)
})

test('a lost connection is retriable', async () => {
  const query = "SELECT generate_series(1, 100000000) AS losing, repeat('x', 1000) AS filler"
  const columns = await columnsOf(source, query)
  const rows = source.read(jobInput(query), noAbort(columns, 100))[Symbol.asyncIterator]()
  await rows.next()
  await client.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%losing%' AND pid <> pg_backend_pid()",
  )
  const drain = async () => {
    while (!(await rows.next()).done);
  }
  const error = await drain().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ConnectorError)
  expect(error).toMatchObject({ code: 'database_unavailable', retriable: true })
})
