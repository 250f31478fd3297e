// Which texts may be a job's query, and what the others are told.
import { expect, test } from 'vitest'
import { guardQuery } from '../../../connectors/postgres/guard.ts'

test.each([
  'SELECT 1 AS one',
  'select a, b from t where c > 1 order by a limit 10;',
  'SELECT 1 AS one -- a comment at the end',
  'SELECT 1 AS one /* ; */ ;  -- after it\n',
  '-- first\nSELECT 1 AS one',
  'WITH x AS (SELECT 1 AS a) SELECT * FROM x',
  'VALUES (1, 2), (3, 4)',
  'TABLE customers',
  '(SELECT 1 AS a UNION ALL SELECT 2) EXCEPT SELECT 3',
  `SELECT 'a;b' AS text, $$;$$ AS dollars, "odd;name" FROM "T;"`,
])('accepts %s', async (query) => {
  const guarded = await guardQuery(query)
  expect(guarded).toHaveProperty('select')
})

test.each([
  ['', 'sql_empty'],
  ['  \n', 'sql_empty'],
  ['-- nothing', 'sql_empty'],
  [';;', 'sql_empty'],
  ['SELEC 1', 'sql_syntax'],
  ['SELECT (1', 'sql_syntax'],
  ['SELECT 1) TO STDOUT; DROP TABLE t; COPY (SELECT 1', 'sql_syntax'],
  ['SELECT 1 AS a\0; DROP TABLE t', 'sql_syntax'],
  ['SELECT 1 /* open', 'sql_syntax'],
  ['SELECT 1; SELECT 2', 'sql_multiple_statements'],
  ['SELECT 1; DROP TABLE t', 'sql_multiple_statements'],
  ['INSERT INTO t VALUES (1)', 'sql_not_select'],
  ['DELETE FROM t RETURNING *', 'sql_not_select'],
  ['EXPLAIN SELECT 1', 'sql_not_select'],
  ['COPY t TO STDOUT', 'sql_not_select'],
  ['CREATE TABLE x AS SELECT 1', 'sql_not_select'],
  ['SELECT * INTO x FROM t', 'sql_not_select'],
  ['SELECT 1 AS a INTO x UNION SELECT 2', 'sql_not_select'],
  ['SELECT * FROM t FOR UPDATE', 'sql_not_select'],
  ['SELECT * FROM (SELECT * FROM t FOR SHARE) q', 'sql_not_select'],
  ['WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x', 'sql_not_select'],
  ['SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x) q', 'sql_not_select'],
  ['WITH x AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM x', 'sql_not_select'],
  ['SELECT * FROM t WHERE id = $1', 'sql_parameter'],
])('refuses %j', async (query, code) => {
  const guarded = await guardQuery(query)
  expect(guarded).toMatchObject({ problem: { code, pointer: '/input/query' } })
})

test('a syntax error says what the parser said and where', async () => {
  const guarded = await guardQuery("SELECT 'é',\n  foo bar baz")
  expect(guarded).toMatchObject({ problem: { detail: 'syntax error at or near "baz" at line 2, column 11' } })
})

test('the statement is cut out of what surrounds it, and its tables are named', async () => {
  const query = ` ; WITH x AS (SELECT 'é' AS e FROM s.a) SELECT * FROM x, "B" ; -- end`
  const guarded = await guardQuery(query)
  expect(guarded).toMatchObject({ select: { text: expect.stringMatching(/^\s*WITH.*"B" $/) } })
  if (!('select' in guarded)) return
  expect(query.slice(guarded.select.offset)).toContain(guarded.select.text)
  expect(guarded.select.tables.toSorted((a, b) => a.table.localeCompare(b.table))).toEqual([
    { schema: 's', table: 'a' },
    { schema: null, table: 'B' },
  ])
})

test('nesting that the parser cannot take is an answer, and the parser lives on', async () => {
  for (const query of [`SELECT ${'1+'.repeat(20_000)}1`, `SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`]) {
    expect(await guardQuery(query)).toMatchObject({ problem: { code: 'sql_syntax' } })
  }
  expect(await guardQuery('SELECT 1 AS one')).toHaveProperty('select')
})
