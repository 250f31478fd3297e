// CSV as others read it: quoting, the formula guard, files of one column, gzip.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { csvEncoder } from '../../../connectors/files/csv.ts'
import type { PartEncoder } from '../../../connectors/files/encoder.ts'
import { gzipEncoder } from '../../../connectors/files/gzip.ts'
import type { Column, ColumnKind } from '../../../topics/columns.ts'
import { python } from '../../harness/python.ts'
import { batchOf, encoded, type Value } from './batches.ts'
import { duckdb } from './duckdb.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'scoreline-csv-'))
})
afterAll(() => rm(directory, { recursive: true }))

type Rows = readonly (readonly Value[])[]

function bytesOf(encoder: PartEncoder, columns: readonly Column[], chunks: readonly Rows[]): Promise<Buffer> {
  return encoded(
    encoder,
    chunks.map((rows) => batchOf(columns, rows)),
  )
}

async function textOf(columns: readonly Column[], rows: Rows, formulaGuard: boolean): Promise<string> {
  return (await bytesOf(csvEncoder(columns, { formulaGuard }), columns, [rows])).toString()
}

/** Records of each file in Python, which refuses what is not well-formed; the same for `.gz`, which must be one member. */
function readByPython(paths: readonly string[]): Promise<string[][][]> {
  return python(
    `
import csv, io, json, sys, zlib
csv.field_size_limit(1 << 30)
def text(path):
    data = open(path, 'rb').read()
    if path.endswith('.gz'):
        member = zlib.decompressobj(31)
        data = member.decompress(data)
        assert member.eof and member.unused_data == b'', 'more than one member'
    return data.decode()
print(json.dumps([list(csv.reader(io.StringIO(text(path), newline=''), strict=True)) for path in sys.argv[1:]]))
`,
    paths,
  )
}

/** All fields as text; NULL where nothing stands between the commas. */
function readByDuckdb(path: string, columns: readonly Column[]): Promise<Record<string, unknown>[]> {
  const types = columns.map(({ name }) => `'${name}': 'VARCHAR'`).join(', ')
  return duckdb(
    `SELECT * FROM read_csv('${path}', header = true, delim = ',', quote = '"', escape = '"', new_line = '\\r\\n',
       allow_quoted_nulls = false, auto_detect = false, columns = {${types}})`,
  )
}

async function write(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, bytes)
  return path
}

const ID: Column = { name: 'id', kind: 'int64' }
const NAME: Column = { name: 'name', kind: 'utf8' }

describe('formula guard', () => {
  const dangerous = [
    '=1+1',
    "=cmd|' /C calc'!A0",
    '+49 170 1',
    '-2+3',
    '-5',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    '\n=1',
    '=',
    '=1+2";=1+2',
    '＝1+1',
    '＋1',
    '－1',
    '＠SUM(A1)',
  ]
  const harmless = [
    '',
    ' =1',
    '1-1',
    'a=b',
    "'=1",
    '5',
    '＃1',

    '\uff1c',
    '\ue000',
    'ÿ',
    '"=1"',
    ',=1',
  ]

  test('text that begins like a formula gets an apostrophe, all other text is as it was', async () => {
    const columns = [ID, NAME]
    const rows = [...dangerous, ...harmless].map((value, i): Value[] => [BigInt(-i), value])
    const path = await write('guarded.csv', Buffer.from(await textOf(columns, rows, true)))
    const expected = [...dangerous.map((value) => `'${value}`), ...harmless]
    expect((await readByDuckdb(path, columns)).map((row) => row.name)).toEqual(expected)
    expect((await readByPython([path]))[0]).toEqual([
      ['id', 'name'],
      ...expected.map((value, i) => [String(-i), value]),
    ])
  })

  test('turned off, it changes nothing', async () => {
    const columns = [ID, NAME]
    const rows = [...dangerous, ...harmless].map((value, i): Value[] => [BigInt(i), value])
    const path = await write('plain.csv', Buffer.from(await textOf(columns, rows, false)))
    expect((await readByDuckdb(path, columns)).map((row) => row.name)).toEqual([...dangerous, ...harmless])
  })

  test('numbers, dates, JSON and the names of columns are never touched', async () => {
    const cases: [ColumnKind, Value, string][] = [
      ['int16', -1, '-1'],
      ['int64', -(2n ** 63n), '-9223372036854775808'],
      ['float32', -0.5, '-0.5'],
      ['float64', Number.NEGATIVE_INFINITY, '-Infinity'],
      ['decimal', -5n, '-0.05'],
      ['numeric', '-12345678901234567890.5', '-12345678901234567890.5'],
      ['json', '-1', '-1'],
      ['jsonb', '-1', '-1'],
      ['date', -800_000, '-0221-09-04'],
      ['binary', Buffer.from('='), '\\x3d'],
    ]
    const columns = cases.map(
      ([kind], i): Column => ({ name: i === 0 ? '=a' : `-${kind}`, kind, precision: 9, scale: 2 }),
    )
    const text = await textOf(columns, [cases.map(([, value]) => value)], true)
    expect(text).toBe(
      `${columns.map((column) => column.name).join(',')}\r\n${cases.map(([, , shown]) => shown).join(',')}\r\n`,
    )
  })
})

test('a file of one column has a line for every row, whoever reads it', async () => {
  const texts = ['a', null, '', ' ', '\\.', 'b']
  const words = await write(
    'words.csv',
    Buffer.from(
      await textOf(
        [NAME],
        texts.map((value) => [value]),
        true,
      ),
    ),
  )
  const numbers = await write('numbers.csv', Buffer.from(await textOf([ID], [[1n], [null], [3n]], true)))
  expect(await readFile(words, 'utf8')).toBe('name\r\n"a"\r\n""\r\n""\r\n" "\r\n"\\."\r\n"b"\r\n')
  expect(await readFile(numbers, 'utf8')).toBe('id\r\n1\r\n""\r\n3\r\n')
  expect(await duckdb(`SELECT id FROM read_csv('${numbers}')`)).toEqual([{ id: '1' }, { id: null }, { id: '3' }])
  const seen = await python(
    `
import csv, json, sys
import pyarrow.csv
print(json.dumps([[list(csv.DictReader(open(path, newline=''), strict=True)), pyarrow.csv.read_csv(path).to_pylist()]
                  for path in sys.argv[1:]]))
`,
    [words, numbers],
  )
  const named = texts.map((value) => ({ name: value ?? '' }))
  expect(seen).toEqual([
    [named, named],
    [
      [{ id: '1' }, { id: '' }, { id: '3' }],
      [{ id: 1 }, { id: null }, { id: 3 }],
    ],
  ])
})

// Of all characters most often those that mean something in CSV.
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('"', ',', '\r', '\n', ' ', "'", '='),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 40,
})
const table = fc.integer({ min: 1, max: 4 }).chain((width) =>
  fc.record({
    width: fc.constant(width),
    rows: fc.array(fc.array(fc.option(text), { minLength: width, maxLength: width }), { minLength: 1, maxLength: 30 }),
    gzip: fc.boolean(),
  }),
)

const textColumns = (width: number) =>
  Array.from({ length: width }, (_, c): Column => ({ name: `c${c}`, kind: 'utf8' }))

test('random texts come back as they were', async () => {
  const tables = fc.sample(table, { numRuns: 100, seed: 20_250_315 })
  const paths = await Promise.all(
    tables.map(async ({ width, rows, gzip }, i) => {
      const columns = textColumns(width)
      const plain = csvEncoder(columns, { formulaGuard: false })
      const bytes = await bytesOf(gzip ? gzipEncoder(plain) : plain, columns, [rows.slice(0, 7), rows.slice(7)])
      return write(`random-${i}.csv${gzip ? '.gz' : ''}`, bytes)
    }),
  )
  const seen = await readByPython(paths)
  for (const [i, { rows, width }] of tables.entries()) {
    expect(seen[i]?.slice(1)).toEqual(rows.map((row) => row.map((value) => value ?? '')))
    const found = (await readByDuckdb(paths[i] as string, textColumns(width))).map((row) => Object.values(row))
    // In one column NULL and empty text are the same.
    expect(found).toEqual(width === 1 ? rows.map(([value]) => [value ?? '']) : rows)
  }
})

describe('gzip', () => {
  const columns = [ID, NAME]
  const chunks = Array.from({ length: 60 }, (_, chunk) =>
    Array.from({ length: 1000 }, (_, row): Value[] => [
      BigInt(chunk * 1000 + row),
      `customer ${(row * 7919) % 5000}, ${'x'.repeat(row % 80)}`,
    ]),
  )
  const plain = () => csvEncoder(columns, { formulaGuard: true })

  test('several blocks are one member that says nothing of when and where it was made', async () => {
    const text = await bytesOf(plain(), columns, chunks)
    expect(text.length).toBeGreaterThan(3 * 1024 ** 2)
    const bytes = await bytesOf(gzipEncoder(plain()), columns, chunks)
    expect(bytes.length).toBeLessThan(text.length / 3)
    expect(bytes.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff')
    expect(await bytesOf(gzipEncoder(plain()), columns, chunks)).toEqual(bytes)
    const paths = [await write('large.csv.gz', bytes), await write('large.csv', text)]
    const [compressed, uncompressed] = await readByPython(paths)
    expect(compressed).toEqual(uncompressed)
    expect(compressed).toHaveLength(60_001)
    expect(await duckdb(`SELECT count(*) AS n, sum(id) AS ids FROM read_csv('${paths[0]}', header = true)`)).toEqual([
      { n: '60000', ids: '1799970000' },
    ])
  })

  test('a file is handed over block by block', async () => {
    const encoder = gzipEncoder(plain())
    const sizes: number[] = []
    for (const rows of chunks) sizes.push((await encoder.add(batchOf(columns, rows))).length)
    expect(sizes.filter((size) => size > 0).length).toBeGreaterThanOrEqual(3)
  })

  test('a file without a row has its header', async () => {
    const path = await write('none.csv.gz', await bytesOf(gzipEncoder(plain()), columns, []))
    expect(await readByPython([path])).toEqual([[['id', 'name']]])
  })
})
