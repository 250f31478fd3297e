// Lists in files, as PyArrow, DuckDB and Python read them.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { csvEncoder } from '../../../connectors/files/csv.ts'
import type { PartEncoder } from '../../../connectors/files/encoder.ts'
import { parquetEncoder } from '../../../connectors/files/parquet.ts'
import type { ParquetCompression } from '../../../connectors/files/parquet-codec.ts'
import type { Column } from '../../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { python } from '../../harness/python.ts'
import { batchOf, encoded, type ListValue, type Value } from './batches.ts'
import { duckdb } from './duckdb.ts'
import { exact, readParquet } from './pyarrow.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'scoreline-lists-'))
})
afterAll(() => rm(directory, { recursive: true }))

type Row = readonly (Value | ListValue)[]

/** Writes the file; chunks go through the payload and back, for that is how their buffers reach a sink. */
async function write(
  name: string,
  encoder: PartEncoder,
  columns: readonly Column[],
  chunks: readonly (readonly Row[])[],
): Promise<string> {
  const batches = chunks.map((rows) => decodeColumns(encodeColumns(batchOf(columns, rows))))
  const path = join(directory, name)
  await writeFile(path, await encoded(encoder, batches))
  return path
}

const { NaN: NAN, POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: NEG_INF, MIN_VALUE } = Number
const MAX64 = 2n ** 63n - 1n

/** Each list among plain columns, some of their values NULL; `values` go round and round. */
const LISTS: readonly { readonly column: Column; readonly values: ListValue; readonly arrow: string }[] = [
  { column: { name: 'f32', kind: 'float32', length: 3 }, values: [0.1, -1.5, 3.4e38, 2 ** -149, 0], arrow: 'float' },
  { column: { name: 'odd', kind: 'float32', length: 2 }, values: [1, NAN, INF, NEG_INF, -0], arrow: 'float' },
  { column: { name: 'f64', kind: 'float64', length: 2 }, values: [0.1, -0, MIN_VALUE, 1e300, 5], arrow: 'double' },
  { column: { name: 'i16', kind: 'int16', length: 5 }, values: [-32768, 32767, 0, 7, 8, 9], arrow: 'int16' },
  { column: { name: 'i32', kind: 'int32', length: 8 }, values: [-(2 ** 31), 2 ** 31 - 1, 0, 4, 5], arrow: 'int32' },
  {
    column: { name: 'i64', kind: 'int64', length: 9 },
    values: [-MAX64 - 1n, MAX64, 0n, 2n ** 53n + 1n],
    arrow: 'int64',
  },
  { column: { name: 'wide', kind: 'float32', length: 768 }, values: [0.25, 0.5, 1, -2, 3, 4, 5], arrow: 'float' },
]
const COLUMNS: readonly Column[] = [
  { name: 'id', kind: 'int64' },
  ...LISTS.flatMap(({ column }, i): Column[] => [column, { name: `text ${i}`, kind: 'utf8' }]),
]

function rowOf(id: number): Row {
  const cells = LISTS.flatMap(({ column: { length = 0 }, values }) => [
    Array.from({ length }, (_, i) => values[(id * length + i) % values.length] as number | bigint),
    id % 3 === 0 ? null : `row ${id}`,
  ])
  return [BigInt(id), ...cells]
}

function chunksOf(sizes: readonly number[]): Row[][] {
  let id = 0
  return sizes.map((rows) => Array.from({ length: rows }, () => rowOf(id++)))
}

/** The text by which `readParquet` shows a cell. */
function exactCell(column: Column, cell: Value | ListValue): unknown {
  return Array.isArray(cell) ? cell.map((value) => exact(column, value)) : exact(column, cell as Value)
}

describe.each(['zstd', 'snappy', 'none'] as const)('Parquet, %s', (compression: ParquetCompression) => {
  // The last: enough for several pages.
  const CHUNKS = chunksOf([5, 1, 8, 0, 29, 3, 400, 400])

  test.each([1, 100])('row groups of %d chunks: PyArrow and DuckDB see every list as it was', async (groupChunks) => {
    const path = await write(
      `lists-${compression}-${groupChunks}.parquet`,
      parquetEncoder(COLUMNS, groupChunks, compression),
      COLUMNS,
      CHUNKS,
    )
    const rows = CHUNKS.flat()
    const [seen] = await readParquet([path])
    expect(seen?.rows).toBe(rows.length)
    COLUMNS.forEach((column, c) => {
      expect(seen?.columns[c]?.values, column.name).toEqual(rows.map((row) => exactCell(column, row[c] ?? null)))
    })
    for (const { column, arrow } of LISTS) {
      const { path, arrow: found } = seen?.columns[COLUMNS.indexOf(column)] ?? {}
      expect([path, found]).toEqual([`${column.name}.list.element`, `list<element: ${arrow} not null>`])
    }

    const [sums] =
      await duckdb(`SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids, typeof(any_value(f32)) AS type,
      count(*) FILTER (len(wide) = 768 AND len(i64) = 9 AND len(odd) = 2)::int AS full,
      sum(list_sum(wide))::float8 AS wide, sum(list_sum(i16))::int AS i16, count("text 0")::int AS texts FROM '${path}'`)
    const sumOf = (name: string) =>
      rows
        .flatMap((row) => row[COLUMNS.findIndex((column) => column.name === name)] as number[])
        .reduce((a, b) => a + b)
    expect(sums).toEqual({
      n: rows.length,
      ids: rows.length,
      type: 'FLOAT[]',
      full: rows.length,
      wide: sumOf('wide'),
      i16: sumOf('i16'),
      texts: rows.filter(([id]) => Number(id) % 3 !== 0).length,
    })
    const [first, last] = await duckdb(`SELECT f64, i32 FROM '${path}' WHERE id IN (0, ${rows.length - 1}) ORDER BY id`)
    const cellsOf = (row: Row | undefined) => ({ f64: row?.[5], i32: row?.[9] })
    expect([first, last]).toEqual([cellsOf(rows[0]), cellsOf(rows.at(-1))])
  })

  test('bounds of a row group are those of its elements', async () => {
    const columns: Column[] = [
      { name: 'a', kind: 'float32', length: 2 },
      { name: 'b', kind: 'int64', length: 2 },
    ]
    const chunks: Row[][] = [
      [
        [
          [0.5, 2],
          [3n, -7n],
        ],
        [
          [-1, 4],
          [0n, 5n],
        ],
      ],
      [
        [
          [NAN, 2],
          [9n, 9n],
        ],
      ],
    ]
    const path = await write(`bounds-${compression}.parquet`, parquetEncoder(columns, 1, compression), columns, chunks)
    const [seen] = await readParquet([path])
    const float = (value: number) => exact({ name: 'a', kind: 'float32' }, value)
    expect(seen?.groups.map(({ statistics }) => statistics)).toEqual([
      [
        { nulls: 0, min: float(-1), max: float(4) },
        { nulls: 0, min: '-7', max: '5' },
      ],
      [
        { nulls: 0, min: null, max: null },
        { nulls: 0, min: '9', max: '9' },
      ],
    ])
    expect(await duckdb(`SELECT b FROM '${path}' WHERE list_contains(b, 5)`)).toEqual([{ b: ['0', '5'] }])
  })

  test('a file without a row has the columns', async () => {
    const path = await write(`none-${compression}.parquet`, parquetEncoder(COLUMNS, 2, compression), COLUMNS, [])
    const [seen] = await readParquet([path])
    expect([seen?.rows, seen?.columns[1]?.arrow]).toEqual([0, 'list<element: float not null>'])
  })
})

describe('CSV', () => {
  const columns = COLUMNS.filter(({ length }) => length !== 768)
  const rows = chunksOf([20])[0]?.map((row) => row.filter((_, c) => columns.includes(COLUMNS[c] as Column))) as Row[]
  const plain = () => csvEncoder(columns, { formulaGuard: true })

  test('a list is JSON in quotes, its numbers as in cells of their own', async () => {
    const pair: Column[] = [
      { name: 'id', kind: 'int64' },
      { name: 'list', kind: 'float32', length: 5 },
    ]
    const encoder = csvEncoder(pair, { formulaGuard: true })
    const text = encoder.add(batchOf(pair, [[1n, [0.1, -2, 1e-7, NAN, NEG_INF]]]))
    expect(Buffer.concat([text, encoder.finish()]).toString()).toBe('id,list\r\n1,"[0.1,-2,1e-7,NaN,-Infinity]"\r\n')
  })

  test('Python’s json and DuckDB read every list as it was', async () => {
    const path = await write('lists.csv', plain(), columns, [rows])
    const seen = await python<unknown[][]>(
      `
import csv, json, struct, sys
def exact(kind, text):
    if kind.startswith('float'):
        one = struct.Struct('<f' if kind == 'float32' else '<d')
        return [struct.pack('<d', one.unpack(one.pack(value))[0]).hex() for value in json.loads(text, parse_int=float)]
    return [str(value) for value in json.loads(text)]
kinds = json.loads(sys.argv[2])
records = list(csv.reader(open(sys.argv[1], newline=''), strict=True))
print(json.dumps([[exact(kind, cell) if kind else cell for kind, cell in zip(kinds, record)] for record in records[1:]]))
`,
      [path, JSON.stringify(columns.map(({ kind, length }) => (length ? kind : null)))],
    )
    expect(seen).toEqual(rows.map((row) => row.map((cell, c) => exactCell(columns[c] as Column, cell) ?? '')))

    const found = await duckdb(`SELECT f64::DOUBLE[] AS f64, i64::BIGINT[] AS i64, isnan((odd::FLOAT[])[2]) AS nan
      FROM read_csv('${path}', header = true, all_varchar = true) ORDER BY id::int`)
    expect(found).toEqual(
      rows.map((row) => ({
        f64: row[5],
        i64: (row[11] as bigint[]).map(String),
        nan: Number.isNaN((row[3] as number[])[1]),
      })),
    )
  })

  test('a list may be the only column', async () => {
    const alone: Column[] = [{ name: 'list', kind: 'int32', length: 2 }]
    const encoder = csvEncoder(alone, { formulaGuard: true })
    encoder.add(batchOf(alone, [[[1, -2]], [[3, 4]]]))
    expect(Buffer.from(encoder.finish()).toString()).toBe('list\r\n"[1,-2]"\r\n"[3,4]"\r\n')
  })
})
