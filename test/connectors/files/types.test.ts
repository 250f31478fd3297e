// Every kind of column, with NULLs and extremes, read back by DuckDB (and CSV by Python too; PyArrow's view of Parquet is in
// parquet-pyarrow.test.ts).
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConnectorError } from '../../../connectors/connector.ts'
import { csvEncoder } from '../../../connectors/files/csv.ts'
import type { PartEncoder } from '../../../connectors/files/encoder.ts'
import { gzipEncoder } from '../../../connectors/files/gzip.ts'
import { parquetEncoder } from '../../../connectors/files/parquet.ts'
import type { Column, ColumnBatch } from '../../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { python } from '../../harness/python.ts'
import { batchOf, encoded, type Value } from './batches.ts'
import { duckdb } from './duckdb.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'scoreline-types-'))
})
afterAll(() => rm(directory, { recursive: true }))

async function fileOf(name: string, encoder: PartEncoder, batches: readonly ColumnBatch[]): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, await encoded(encoder, batches))
  return path
}

/** CSV with texts as they are. */
const PLAIN = { formulaGuard: false }

const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
const maxUuid = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const max38 = 10n ** 38n - 1n

/** Per column: type in DuckDB, values in, and what DuckDB says of them in Parquet and, if it differs, as CSV text. */
interface Case {
  readonly column: Column
  readonly type: string
  readonly values: readonly Value[]
  readonly parquet: readonly unknown[]
  readonly csv: readonly (string | null)[]
}

const CASES: readonly Case[] = [
  {
    column: { name: 'bool', kind: 'bool' },
    type: 'BOOLEAN',
    values: [true, false, null, true],
    parquet: [true, false, null, true],
    csv: ['true', 'false', null, 'true'],
  },
  {
    column: { name: 'int16', kind: 'int16' },
    type: 'SMALLINT',
    values: [-32768, 32767, null, 0],
    parquet: [-32768, 32767, null, 0],
    csv: ['-32768', '32767', null, '0'],
  },
  {
    column: { name: 'int32', kind: 'int32' },
    type: 'INTEGER',
    values: [-2147483648, 2147483647, null, 7],
    parquet: [-2147483648, 2147483647, null, 7],
    csv: ['-2147483648', '2147483647', null, '7'],
  },
  {
    column: { name: 'int64', kind: 'int64' },
    type: 'BIGINT',
    values: [-(2n ** 63n), 2n ** 63n - 1n, null, -9007199254740993n],
    parquet: ['-9223372036854775808', '9223372036854775807', null, '-9007199254740993'],
    csv: ['-9223372036854775808', '9223372036854775807', null, '-9007199254740993'],
  },
  {
    column: { name: 'float32', kind: 'float32' },
    type: 'FLOAT',
    values: [Number.NaN, Number.NEGATIVE_INFINITY, null, 0.1],
    parquet: ['NaN', '-Infinity', null, 0.10000000149011612],
    csv: ['NaN', '-Infinity', null, '0.1'],
  },
  {
    column: { name: 'float64', kind: 'float64' },
    type: 'DOUBLE',
    values: [Number.MAX_VALUE, 5e-324, null, -0.1],
    parquet: [Number.MAX_VALUE, 5e-324, null, -0.1],
    csv: ['1.7976931348623157e+308', '5e-324', null, '-0.1'],
  },
  {
    column: { name: 'decimal9', kind: 'decimal', precision: 9, scale: 2 },
    type: 'DECIMAL(9,2)',
    values: [999999999n, -999999999n, null, -5n],
    parquet: ['9999999.99', '-9999999.99', null, '-0.05'],
    csv: ['9999999.99', '-9999999.99', null, '-0.05'],
  },
  {
    column: { name: 'decimal18', kind: 'decimal', precision: 18, scale: 0 },
    type: 'DECIMAL(18,0)',
    values: [10n ** 18n - 1n, -(10n ** 18n) + 1n, null, 0n],
    parquet: ['999999999999999999', '-999999999999999999', null, '0'],
    csv: ['999999999999999999', '-999999999999999999', null, '0'],
  },
  {
    column: { name: 'decimal38', kind: 'decimal', precision: 38, scale: 10 },
    type: 'DECIMAL(38,10)',
    values: [max38, -max38, null, 1n],
    parquet: [
      '9999999999999999999999999999.9999999999',
      '-9999999999999999999999999999.9999999999',
      null,
      '0.0000000001',
    ],
    csv: ['9999999999999999999999999999.9999999999', '-9999999999999999999999999999.9999999999', null, '0.0000000001'],
  },
  {
    column: { name: 'numeric', kind: 'numeric' },
    type: 'VARCHAR',
    values: [`${'9'.repeat(60)}.5`, 'NaN', null, '-Infinity'],
    parquet: [`${'9'.repeat(60)}.5`, 'NaN', null, '-Infinity'],
    csv: [`${'9'.repeat(60)}.5`, 'NaN', null, '-Infinity'],
  },
  {
    column: { name: 'utf8', kind: 'utf8' },
    type: 'VARCHAR',
    values: ['', 'a "quoted", text\r\nover\ntwo lines', null, 'žluťoučký 🐎'.repeat(40)],
    parquet: ['', 'a "quoted", text\r\nover\ntwo lines', null, 'žluťoučký 🐎'.repeat(40)],
    csv: ['', 'a "quoted", text\r\nover\ntwo lines', null, 'žluťoučký 🐎'.repeat(40)],
  },
  {
    column: { name: 'json', kind: 'json' },
    type: 'JSON',
    values: ['{"a": [1, "b"]}', 'null', null, '""'],
    parquet: ['{"a": [1, "b"]}', 'null', null, '""'],
    csv: ['{"a": [1, "b"]}', 'null', null, '""'],
  },
  {
    column: { name: 'binary', kind: 'binary' },
    type: 'BLOB',
    values: [Uint8Array.of(0, 255), Uint8Array.of(), null, Uint8Array.of(44)],
    parquet: ['\\x00\\xFF', '', null, ','],
    csv: ['\\x00ff', '\\x', null, '\\x2c'],
  },
  {
    column: { name: 'uuid', kind: 'uuid' },
    type: 'UUID',
    values: [uuid, maxUuid, null, '00000000-0000-0000-0000-000000000000'],
    parquet: [uuid, maxUuid, null, '00000000-0000-0000-0000-000000000000'],
    csv: [uuid, maxUuid, null, '00000000-0000-0000-0000-000000000000'],
  },
  {
    column: { name: 'date', kind: 'date' },
    type: 'DATE',
    values: [0, -719_528, null, 2_932_896],
    parquet: ['1970-01-01', '0000-01-01', null, '9999-12-31'],
    csv: ['1970-01-01', '0000-01-01', null, '9999-12-31'],
  },
  {
    column: { name: 'timestamp', kind: 'timestamp' },
    type: 'TIMESTAMP',
    values: [-1n, 1_709_208_000_000_000n, null, 253_402_300_799_999_999n],
    parquet: ['1969-12-31 23:59:59.999999', '2024-02-29 12:00:00', null, '9999-12-31 23:59:59.999999'],
    csv: ['1969-12-31T23:59:59.999999', '2024-02-29T12:00:00', null, '9999-12-31T23:59:59.999999'],
  },
  {
    column: { name: 'timestamptz', kind: 'timestamptz' },
    type: 'TIMESTAMP WITH TIME ZONE',
    values: [1n, 0n, null, -62_135_596_800_000_000n],
    parquet: ['1970-01-01 00:00:00.000001+00', '1970-01-01 00:00:00+00', null, '0001-01-01 00:00:00+00'],
    csv: ['1970-01-01T00:00:00.000001Z', '1970-01-01T00:00:00Z', null, '0001-01-01T00:00:00Z'],
  },
]

const COLUMNS = CASES.map((item) => item.column)

/**
 * The rows of the cases, again and again, in chunks of sizes that leave bitmaps off their byte boundaries; through the
 * payload and back, for that is how their buffers reach a sink.
 */
const BATCHES = [1, 7, 8, 13, 16, 3].map((rows, i) =>
  decodeColumns(
    encodeColumns(
      batchOf(
        COLUMNS,
        Array.from({ length: rows }, (_, r) => CASES.map((item) => item.values[(r + i) % 4] as Value)),
      ),
    ),
  ),
)
const ORDER = [1, 7, 8, 13, 16, 3].flatMap((rows, i) => Array.from({ length: rows }, (_, r) => (r + i) % 4))

test.each(['zstd', 'snappy', 'none'] as const)(
  'Parquet, %s: every kind comes back with its type and value',
  async (compression) => {
    for (const groupChunks of [1, 4, 100]) {
      const path = await fileOf(
        `all-${compression}-${groupChunks}.parquet`,
        parquetEncoder(COLUMNS, groupChunks, compression),
        BATCHES,
      )
      const types = await duckdb(`DESCRIBE SELECT * FROM '${path}'`)
      expect(types.map((row) => row.column_type)).toEqual(CASES.map((item) => item.type))
      const rows = await duckdb(`SELECT * FROM '${path}'`)
      for (const { column, parquet } of CASES) {
        expect(
          rows.map((row) => row[column.name]),
          column.name,
        ).toEqual(ORDER.map((i) => parquet[i]))
      }
    }
  },
)

test('Parquet: statistics are right, and NaN leaves none', async () => {
  const path = await fileOf('statistics.parquet', parquetEncoder(COLUMNS, 100, 'zstd'), BATCHES)
  const rows = await duckdb(
    `SELECT path_in_schema AS name, stats_min_value AS low, stats_max_value AS high, stats_null_count AS nulls
     FROM parquet_metadata('${path}')`,
  )
  const of = (name: string) => {
    const row = rows.find((row) => row.name === name)
    return [row?.low, row?.high]
  }
  expect(new Set(rows.map((row) => row.nulls))).toEqual(new Set(['12']))
  expect(of('bool')).toEqual(['false', 'true'])
  expect(of('int16')).toEqual(['-32768', '32767'])
  expect(of('int64')).toEqual(['-9223372036854775808', '9223372036854775807'])
  expect(of('float32')).toEqual([null, null])
  expect(of('float64')).toEqual(['-0.1', '1.7976931348623157e+308'])
  expect(of('decimal9')).toEqual(['-9999999.99', '9999999.99'])
  expect(of('decimal18')).toEqual(['-999999999999999999', '999999999999999999'])
  expect(of('decimal38')).toEqual([
    '-9999999999999999999999999999.9999999999',
    '9999999999999999999999999999.9999999999',
  ])
  expect(of('uuid')).toEqual(['00000000-0000-0000-0000-000000000000', maxUuid])
  expect(of('utf8')[0]).toBe('')
  expect(of('json')).toEqual([null, null])
  // A filter that DuckDB answers by row group: NaN is the greatest value.
  expect(await duckdb(`SELECT count(*) AS n FROM '${path}' WHERE float32 > 5`)).toEqual([
    { n: String(ORDER.filter((i) => i === 0).length) },
  ])
  expect(await duckdb(`SELECT count(*) AS n FROM '${path}' WHERE utf8 >= 'žl' AND utf8 < 'žm'`)).toEqual([
    { n: String(ORDER.filter((i) => i === 3).length) },
  ])
})

test.each(['csv', 'csv.gz'])('%s: every kind comes back, NULL and empty text are told apart', async (extension) => {
  const encoder = csvEncoder(COLUMNS, PLAIN)
  const path = await fileOf(`all.${extension}`, extension === 'csv' ? encoder : gzipEncoder(encoder), BATCHES)
  const rows = await duckdb(
    `SELECT * FROM read_csv('${path}', header = true, all_varchar = true, delim = ',', quote = '"', escape = '"',
       allow_quoted_nulls = false, max_line_size = 100000)`,
  )
  for (const { column, csv } of CASES) {
    expect(
      rows.map((row) => row[column.name]),
      column.name,
    ).toEqual(ORDER.map((i) => csv[i]))
  }
  // Python's reader knows no NULL; it gives an empty text.
  expect(await python(READ_CSV, [path])).toEqual([
    COLUMNS.map((column) => column.name),
    ...ORDER.map((i) => CASES.map(({ csv }) => csv[i] ?? '')),
  ])
})

const READ_CSV = `
import csv, gzip, json, sys
opened = gzip.open if sys.argv[1].endswith('.gz') else open
with opened(sys.argv[1], 'rt', encoding='utf-8', newline='') as file:
    print(json.dumps(list(csv.reader(file, strict=True))))
`

test('CSV: what needs no quotes has none, lines end with CRLF', () => {
  const columns: Column[] = [
    { name: 'id', kind: 'int32' },
    { name: 'a "b"', kind: 'utf8' },
  ]
  const encoder = csvEncoder(columns, PLAIN)
  const batch = batchOf(columns, [
    [1, 'plain text'],
    [2, ''],
    [null, null],
    [4, 'say "hi"'],
  ])
  const text = Buffer.concat([encoder.add(batch), encoder.finish()]).toString()
  expect(text).toBe('id,"a ""b"""\r\n1,plain text\r\n2,""\r\n,\r\n4,"say ""hi"""\r\n')
})

test('CSV: infinite dates and times, and years of five digits, are spelled as Postgres reads them', () => {
  const columns: Column[] = [
    { name: 'd', kind: 'date' },
    { name: 't', kind: 'timestamptz' },
    { name: 'n', kind: 'decimal', precision: 10, scale: 2 },
  ]
  const encoder = csvEncoder(columns, PLAIN)
  const batch = batchOf(columns, [
    [2147483647, 2n ** 63n - 1n, -(2n ** 127n)],
    [-2147483648, -(2n ** 63n), 100n],
    [2_932_897, 253_402_300_800_000_000n, -1n],
  ])
  const text = Buffer.concat([encoder.add(batch), encoder.finish()]).toString()
  expect(text.split('\r\n').slice(1)).toEqual([
    'infinity,infinity,NaN',
    '-infinity,-infinity,1.00',
    '10000-01-01,10000-01-01T00:00:00Z,-0.01',
    '',
  ])
})

test('Parquet: what it cannot hold names the column and the remedy', async () => {
  const cases: [Column, Value][] = [
    [{ name: 'when', kind: 'date' }, 2147483647],
    [{ name: 'when', kind: 'date' }, -2147483648],
    [{ name: 'when', kind: 'timestamp' }, 2n ** 63n - 1n],
    [{ name: 'when', kind: 'timestamptz' }, -(2n ** 63n)],
    [{ name: 'when', kind: 'decimal', precision: 9, scale: 2 }, -(2n ** 127n)],
    [{ name: 'when', kind: 'decimal', precision: 18, scale: 2 }, -(2n ** 127n)],
    [{ name: 'when', kind: 'decimal', precision: 38, scale: 2 }, -(2n ** 127n)],
    [{ name: 'when', kind: 'decimal', precision: 9, scale: 2 }, 2n ** 31n],
  ]
  for (const [column, value] of cases) {
    const encoding = encoded(parquetEncoder([column], 1, 'zstd'), [batchOf([column], [[null], [value]])])
    await expect(encoding, `${column.kind} ${value}`).rejects.toThrow(ConnectorError)
    await expect(encoding, `${column.kind} ${value}`).rejects.toThrow(/column when holds .*(CASE|cast)/)
  }
})

test('a file without a row has the columns', async () => {
  const parquet = await fileOf('empty.parquet', parquetEncoder(COLUMNS, 4, 'zstd'), [])
  expect((await duckdb(`DESCRIBE SELECT * FROM '${parquet}'`)).map((row) => row.column_name)).toEqual(
    COLUMNS.map((column) => column.name),
  )
  expect(await duckdb(`SELECT count(*) AS n FROM '${parquet}'`)).toEqual([{ n: '0' }])
  const csv = await fileOf('empty.csv', csvEncoder(COLUMNS, PLAIN), [batchOf(COLUMNS, [])])
  expect(await duckdb(`SELECT count(*) AS n FROM read_csv('${csv}', header = true)`)).toEqual([{ n: '0' }])
})

test('several pages a column: long text and many rows', async () => {
  const columns: Column[] = [
    { name: 'id', kind: 'int64' },
    { name: 'text', kind: 'utf8' },
    { name: 'more', kind: 'utf8' },
    { name: 'flag', kind: 'bool' },
  ]
  const batches = Array.from({ length: 40 }, (_, b) =>
    batchOf(
      columns,
      Array.from({ length: 100 }, (_, i): Value[] => {
        const id = b * 100 + i
        const text = id % 5 === 0 ? null : `${id}-`.repeat(300)
        return [BigInt(id), text, `${id}+`.repeat(300), id % 3 === 0 ? null : id % 2 === 0]
      }),
    ),
  )
  const path = await fileOf('pages.parquet', parquetEncoder(columns, 25, 'zstd'), batches)
  expect(
    await duckdb(`SELECT count(*) AS n, sum(id) AS ids, count(text) AS texts,
      count(*) FILTER (text = repeat(id || '-', 300)) AS right,
      count(*) FILTER (more = repeat(id || '+', 300)) AS more, count(*) FILTER (flag = (id % 2 = 0)) AS flags
      FROM '${path}'`),
  ).toEqual([{ n: '4000', ids: '7998000', texts: '3200', right: '3200', more: '4000', flags: '2666' }])
})

test('Parquet: a chunk is its owner’s again when it was added, whatever its row group waits for', async () => {
  const columns: Column[] = [
    { name: 'id', kind: 'int64' },
    { name: 'text', kind: 'utf8' },
    { name: 'long', kind: 'utf8' },
  ]
  const encoder = parquetEncoder(columns, 100, 'zstd')
  const bytes: Uint8Array[] = []
  for (let b = 0; b < 40; b++) {
    // Some are larger than what chunks are gathered in.
    const long = 'x'.repeat(b % 20 === 0 ? 40_000 : 10)
    const rows = Array.from({ length: 10 }, (_, i): Value[] => [BigInt(b * 10 + i), i === 3 ? null : `${b}-${i}`, long])
    const batch = batchOf(columns, rows)
    bytes.push(await encoder.add(batch))
    for (const vector of batch.vectors) {
      vector.validity?.fill(0)
      if ('offsets' in vector) vector.offsets.fill(0)
      new Uint8Array('data' in vector ? vector.data.buffer : vector.values.buffer).fill(0)
    }
  }
  const path = join(directory, 'owned.parquet')
  await writeFile(path, Buffer.concat([...bytes, await encoder.finish()]))
  expect(
    await duckdb(`SELECT count(DISTINCT id) AS ids, sum(id) AS sum, count(text) AS texts,
      count(*) FILTER (text = (id // 10) || '-' || (id % 10)) AS right, sum(length(long)) AS long,
      count(*) FILTER (long = repeat('x', length(long))) AS same FROM '${path}'`),
  ).toEqual([{ ids: '400', sum: '79800', texts: '360', right: '360', long: '803800', same: '400' }])
})
