// Every type, with NULLs and extremes: table → source → Arrow payload → sink → table, compared inside Postgres.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sink, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { connectTo, openClient, readAll, tableJob, tableOutput } from './jobs.ts'

let source: Source
let sink: Sink
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  const url = await freshDatabase('pg-round-trip')
  client = await openClient(url)
  source = createPostgresSource(connectTo(url))
  sink = createTableSink(connectTo(url))
})

afterAll(async () => {
  await source.close()
  await sink.close()
})

/** SQL type → values; each column also gets a NULL, and values repeat up to the longest list. */
const TYPES: Record<string, string[]> = {
  boolean: ['true', 'false'],
  smallint: ['-32768', '32767', '0', '-1'],
  integer: ['-2147483648', '2147483647', '0', '-1'],
  bigint: ['-9223372036854775808', '9223372036854775807', '0', '-1', '9007199254740993'],
  real: ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", '1.17549435e-38', '3.4028235e38', '1e-45', '0.1'],
  'double precision': [
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "'-0'",
    '2.2250738585072014e-308',
    '1.7976931348623157e308',
    '5e-324',
    '0.1',
  ],
  'numeric(10,2)': ['0', '-0.01', '99999999.99', '-99999999.99', '10000', '1.50', "'NaN'"],
  'numeric(38,0)': ['9'.repeat(38), `-${'9'.repeat(38)}`, '1', '10000', '9007199254740993'],
  'numeric(38,38)': [`0.${'9'.repeat(38)}`, `-0.${'0'.repeat(37)}1`, '0', '0.5'],
  'numeric(18,6)': ['123456789012.345678', '-0.000001', '100', '0.1'],
  numeric: [
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    '0',
    '0.000',
    `1${'0'.repeat(300)}`,
    `-0.${'0'.repeat(200)}12345`,
    '12345678901234567890.1234567890',
    '100000000',
  ],
  'numeric(50,10)': ['1234567890123456789012345678901234567890.0123456789', '0', '-1'],
  text: [
    "''",
    "'plain'",
    "'zwölf Boxkämpfer €'",
    "'👩‍🚀 multi-byte'",
    'E\'\\t\\n\\r\\\\ "quoted"\'',
    "'NULL'",
    `'${'long '.repeat(50)}'`,
  ],
  'character varying(20)': ["''", "'short'", "'exactly twenty chars'"],
  'character(5)': ["'a'", "'abcde'", "''"],
  uuid: [
    "'00000000-0000-0000-0000-000000000000'",
    "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    "'0123abcd-4567-89ef-0123-456789abcdef'",
  ],
  date: [
    "'infinity'",
    "'-infinity'",
    "'4713-01-01 BC'",
    "'5874897-12-31'",
    "'1970-01-01'",
    "'2000-01-01'",
    "'1999-12-31'",
  ],
  'timestamp without time zone': [
    "'infinity'",
    "'-infinity'",
    "'4713-01-01 00:00:00 BC'",
    "'294246-12-31 23:59:59.999999'",
    "'1970-01-01'",
    "'1969-12-31 23:59:59.999999'",
    "'2000-01-01 00:00:00.000001'",
  ],
  'timestamp with time zone': [
    "'infinity'",
    "'-infinity'",
    "'4713-01-02 00:00:00+00 BC'",
    "'294246-12-31 23:59:59.999999+00'",
    "'2025-03-30 02:30:00+01'",
  ],
  json: [`'{"a": 1,  "a": [1, 2], "é": null}'`, "'[]'", "'null'", `'"text"'`],
  jsonb: [`'{"a": 1, "é": [1.50, null]}'`, "'[]'", "'null'", `'"text"'`],
  bytea: ["''", "'\\x00ff00'", `'\\x${'00ff'.repeat(100)}'`],
}

async function arrangeTypes(table: string): Promise<void> {
  const types = Object.keys(TYPES)
  await client.query(`CREATE TABLE ${table} (id integer, ${types.map((type, i) => `c${i} ${type}`).join(', ')})`)
  const rows = 1 + Math.max(...Object.values(TYPES).map((values) => values.length))
  for (let row = 0; row < rows; row++) {
    const values = Object.entries(TYPES).map(([type, list], i) => {
      const at = (row + i) % (list.length + 1)
      return `CAST(${list[at] ?? 'NULL'} AS ${type})`
    })
    await client.query(`INSERT INTO ${table} VALUES (${[row, ...values].join(', ')})`)
  }
}

/** Runs the query through the service's data path into a table. */
async function copyThrough(query: string, table: string, chunkRows: number): Promise<void> {
  const batches = await readAll(source, query, chunkRows)
  const columns = batches[0]?.columns ?? []
  const job = tableJob(tableOutput(table), columns, { chunkRows })
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write(batches.map((batch, seq) => ({ seq, batch: decodeColumns(encodeColumns(batch)), failed: [] })))
  await lane.end()
  await sink.finalise(
    job,
    batches.reduce((rows, batch) => rows + BigInt(batch.rows), 0n),
  )
}

/** Rows as Postgres prints them: `=` would take -0 for 0, and json has no equality. */
async function differences(a: string, b: string): Promise<unknown[]> {
  const rows = (from: string, minus: string) =>
    `(SELECT t::text AS row FROM ${from} t EXCEPT ALL SELECT t::text FROM ${minus} t)`
  return (await client.query(`${rows(a, b)} UNION ALL ${rows(b, a)}`)).rows
}

async function declaredTypes(table: string): Promise<unknown[]> {
  const text =
    'SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum'
  return (await client.query(text, [table])).rows
}

test.each([1, 3, 8, 1000])('every type survives in chunks of %i', async (chunkRows) => {
  const table = `types_${chunkRows}`
  await arrangeTypes(table)
  await copyThrough(`SELECT * FROM ${table}`, `copy_${chunkRows}`, chunkRows)
  expect(await differences(table, `copy_${chunkRows}`)).toEqual([])
  expect(await declaredTypes(`copy_${chunkRows}`)).toEqual(await declaredTypes(table))
})

test('columns of nothing but NULL survive', async () => {
  await client.query(
    `CREATE TABLE nothing AS SELECT i, ${Object.keys(TYPES)
      .map((type, n) => `NULL::${type} AS n${n}`)
      .join(', ')} FROM generate_series(1, 20) AS i`,
  )
  await copyThrough('SELECT * FROM nothing', 'nothing_copy', 7)
  expect(await differences('nothing', 'nothing_copy')).toEqual([])
})

test('enums, domains and names arrive as their text and base types', async () => {
  await client.query(`
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN score AS numeric(5,2) CHECK (VALUE >= 0);
CREATE TABLE odd AS SELECT 'ok'::mood AS m, 12.5::score AS s, 'a name'::name AS n`)
  await copyThrough('SELECT * FROM odd', 'odd_copy', 10)
  expect(await differences('odd', 'odd_copy')).toEqual([])
  expect(await declaredTypes('odd_copy')).toEqual([
    { attname: 'm', format_type: 'text' },
    { attname: 's', format_type: 'numeric(5,2)' },
    { attname: 'n', format_type: 'text' },
  ])
})

test('values of megabytes survive', async () => {
  await client.query(`CREATE TABLE huge AS SELECT i, repeat(chr(8364) || i, 300000) AS t,
    decode(repeat('00ff', 300000), 'hex') AS b, to_jsonb(repeat('x', 1100000)) AS j FROM generate_series(1, 3) AS i`)
  await copyThrough('SELECT * FROM huge', 'huge_copy', 2)
  expect(await differences('huge', 'huge_copy')).toEqual([])
})

test('many rows of random numbers survive', async () => {
  await client.query(`CREATE TABLE many AS SELECT i AS id, (random() * 1e9)::numeric(18,4) AS d, (random() * 10 ^ (random() * 40))::numeric AS n,
    random() AS f, CASE WHEN random() < 0.3 THEN NULL ELSE md5(i::text) END AS t, now() + i * interval '1.000001 s' AS at
    FROM generate_series(1, 20000) AS i`)
  await copyThrough('SELECT * FROM many', 'many_copy', 777)
  expect(await differences('many', 'many_copy')).toEqual([])
})
