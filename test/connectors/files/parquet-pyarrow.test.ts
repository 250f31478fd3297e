// What PyArrow makes of our Parquet files: logical types, values bit by bit, statistics, compressions. DuckDB's view of
// them is in types.test.ts.
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parquetEncoder } from '../../../connectors/files/parquet.ts'
import type { ParquetCompression } from '../../../connectors/files/parquet-codec.ts'
import type { Column } from '../../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { batchOf, encoded, type Value } from './batches.ts'
import { exact, readParquet, type SeenFile } from './pyarrow.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'scoreline-pyarrow-'))
})
afterAll(() => rm(directory, { recursive: true }))

const COMPRESSIONS: readonly ParquetCompression[] = ['zstd', 'snappy', 'none']

/** A file's content: a row group is `groupChunks` chunks of rows. */
interface Content {
  readonly columns: readonly Column[]
  readonly chunks: readonly (readonly (readonly Value[])[])[]
  readonly groupChunks: number
  readonly compression: ParquetCompression
}

/** Writes the file; chunks go through the payload and back, for that is how their buffers reach a sink. */
async function write(name: string, { columns, chunks, groupChunks, compression }: Content): Promise<string> {
  const batches = chunks.map((rows) => decodeColumns(encodeColumns(batchOf(columns, rows))))
  const path = join(directory, name)
  await writeFile(path, await encoded(parquetEncoder(columns, groupChunks, compression), batches))
  return path
}

const MAX64 = 2n ** 63n - 1n
const max38 = 10n ** 38n - 1n
const { NaN: NAN, POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: NEG_INF, MAX_VALUE, MIN_VALUE } = Number

const timestamp = (isAdjustedToUTC: boolean) => ({
  Type: 'Timestamp',
  isAdjustedToUTC,
  timeUnit: 'microseconds',
  is_from_converted_type: false,
  force_set_converted_type: false,
})
const decimal = (precision: number, scale: number) => ({ Type: 'Decimal', precision, scale })

/** A column, what PyArrow says of its type, and values with their extremes; NULL is put in between. */
interface Case {
  readonly column: Column
  readonly physical: string
  readonly logical: object
  readonly arrow: string
  readonly values: readonly Value[]
}

const CASES: readonly Case[] = [
  {
    column: { name: 'bool', kind: 'bool' },
    physical: 'BOOLEAN',
    logical: { Type: 'None' },
    arrow: 'bool',
    values: [true, false],
  },
  {
    column: { name: 'int16', kind: 'int16' },
    physical: 'INT32',
    logical: { Type: 'Int', bitWidth: 16, isSigned: true },
    arrow: 'int16',
    values: [-32768, 32767, 0],
  },
  {
    column: { name: 'int32', kind: 'int32' },
    physical: 'INT32',
    logical: { Type: 'None' },
    arrow: 'int32',
    values: [-2147483648, 2147483647, 0],
  },
  {
    column: { name: 'int64', kind: 'int64' },
    physical: 'INT64',
    logical: { Type: 'None' },
    arrow: 'int64',
    values: [-MAX64 - 1n, MAX64, 0n, -9007199254740993n],
  },
  {
    column: { name: 'float32', kind: 'float32' },
    physical: 'FLOAT',
    logical: { Type: 'None' },
    arrow: 'float',
    values: [3.4028234663852886e38, -(2 ** -149), INF, NEG_INF, 0.1, -0],
  },
  {
    column: { name: 'float32 with NaN', kind: 'float32' },
    physical: 'FLOAT',
    logical: { Type: 'None' },
    arrow: 'float',
    values: [NAN, 1, INF],
  },
  {
    column: { name: 'float64', kind: 'float64' },
    physical: 'DOUBLE',
    logical: { Type: 'None' },
    arrow: 'double',
    values: [MAX_VALUE, -MIN_VALUE, INF, NEG_INF, 0.1, -0],
  },
  {
    column: { name: 'float64 with NaN', kind: 'float64' },
    physical: 'DOUBLE',
    logical: { Type: 'None' },
    arrow: 'double',
    values: [1, NAN],
  },
  {
    column: { name: 'zeros', kind: 'float64' },
    physical: 'DOUBLE',
    logical: { Type: 'None' },
    arrow: 'double',
    values: [0],
  },
  {
    column: { name: 'decimal9', kind: 'decimal', precision: 9, scale: 2 },
    physical: 'INT32',
    logical: decimal(9, 2),
    arrow: 'decimal128(9, 2)',
    values: [999999999n, -999999999n, 0n, -5n],
  },
  {
    column: { name: 'decimal18', kind: 'decimal', precision: 18, scale: 18 },
    physical: 'INT64',
    logical: decimal(18, 18),
    arrow: 'decimal128(18, 18)',
    values: [10n ** 18n - 1n, 1n - 10n ** 18n, 1n],
  },
  {
    column: { name: 'decimal19', kind: 'decimal', precision: 19, scale: 0 },
    physical: 'FIXED_LEN_BYTE_ARRAY',
    logical: decimal(19, 0),
    arrow: 'decimal128(19, 0)',
    values: [10n ** 19n - 1n, -1n, 1n - 10n ** 19n],
  },
  {
    column: { name: 'decimal38', kind: 'decimal', precision: 38, scale: 10 },
    physical: 'FIXED_LEN_BYTE_ARRAY',
    logical: decimal(38, 10),
    arrow: 'decimal128(38, 10)',
    values: [max38, -max38, 1n, -1n],
  },
  {
    column: { name: 'numeric', kind: 'numeric' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'String' },
    arrow: 'string',
    values: [`${'9'.repeat(60)}.5`, 'NaN', '-Infinity'],
  },
  {
    column: { name: 'utf8', kind: 'utf8' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'String' },
    arrow: 'string',
    values: ['', ' ', 'a "b",\r\n\0', 'žluťoučký 🐎'.repeat(40), '\u{10ffff}'.repeat(5)],
  },
  {
    column: { name: 'json', kind: 'json' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'JSON' },
    arrow: 'extension<arrow.json>',
    values: ['{"a": [1, "b"]}', 'null', '""'],
  },
  {
    column: { name: 'jsonb', kind: 'jsonb' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'JSON' },
    arrow: 'extension<arrow.json>',
    values: ['[]', '-1e300'],
  },
  {
    column: { name: 'binary', kind: 'binary' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'None' },
    arrow: 'binary',
    values: [Buffer.alloc(0), Buffer.from([0, 255, 10])],
  },
  {
    column: { name: 'uuid', kind: 'uuid' },
    physical: 'FIXED_LEN_BYTE_ARRAY',
    logical: { Type: 'UUID' },
    arrow: 'extension<arrow.uuid>',
    values: ['ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000'],
  },
  {
    column: { name: 'date', kind: 'date' },
    physical: 'INT32',
    logical: { Type: 'Date' },
    arrow: 'date32[day]',
    values: [0, -2_440_588, 2_145_031_948],
  },
  {
    column: { name: 'timestamp', kind: 'timestamp' },
    physical: 'INT64',
    logical: timestamp(false),
    arrow: 'timestamp[us]',
    values: [-1n, 0n, MAX64 - 1n, -MAX64],
  },
  {
    column: { name: 'timestamptz', kind: 'timestamptz' },
    physical: 'INT64',
    logical: timestamp(true),
    arrow: 'timestamp[us, tz=UTC]',
    values: [1_709_208_000_000_000n, -62_135_596_800_000_000n],
  },
  {
    column: { name: 'nothing', kind: 'utf8' },
    physical: 'BYTE_ARRAY',
    logical: { Type: 'String' },
    arrow: 'string',
    values: [null],
  },
]

const COLUMNS = CASES.map((item) => item.column)

/** Rows of all cases, begun at another value for each chunk; every fourth row is NULL. */
const CHUNKS = [5, 1, 8, 0, 29, 3].map((rows, chunk) =>
  Array.from({ length: rows }, (_, row) =>
    CASES.map(({ values }) => (row % 4 === 3 ? null : (values[(chunk + row) % values.length] as Value))),
  ),
)

/** The file holds what was written: every value, the row groups, and statistics that fit each of them. */
function expectContent(seen: SeenFile | undefined, { columns, chunks, groupChunks, compression }: Content): void {
  const rows = chunks.flat()
  expect(seen?.rows).toBe(rows.length)
  const groups = Array.from({ length: Math.ceil(chunks.length / groupChunks) }, (_, g) =>
    chunks.slice(g * groupChunks, (g + 1) * groupChunks).flat(),
  ).filter((group) => group.length > 0)
  expect(seen?.groups.map((group) => group.rows)).toEqual(groups.map((group) => group.length))
  columns.forEach((column, c) => {
    expect(seen?.columns[c]?.name).toBe(column.name)
    const texts = rows.map((row) => exact(column, row[c] as Value))
    expect(seen?.columns[c]?.values, column.name).toEqual(texts)
    groups.forEach((group, g) => {
      const statistics = seen?.groups[g]?.statistics[c]
      expectStatistics(
        column,
        group.map((row) => row[c] as Value),
        statistics,
      )
      expect(seen?.groups[g]?.codecs[c]).toBe({ zstd: 'ZSTD', snappy: 'SNAPPY', none: 'UNCOMPRESSED' }[compression])
    })
  })
}

function expectStatistics(
  column: Column,
  values: readonly Value[],
  seen: SeenFile['groups'][0]['statistics'][0] | undefined,
): void {
  const there = values.filter((value) => value !== null)
  const nulls = values.length - there.length
  const unbounded =
    there.length === 0 ||
    ['json', 'jsonb', 'binary'].includes(column.kind) ||
    there.some((value) => Number.isNaN(value))
  if (unbounded) {
    expect(seen, column.name).toEqual({ nulls, min: null, max: null })
    return
  }
  const [least, greatest] = bounds(column, there)
  if (column.kind !== 'utf8' && column.kind !== 'numeric') {
    expect(seen, column.name).toEqual({ nulls, min: exact(column, least), max: exact(column, greatest) })
    return
  }
  // Long texts are cut; then the bounds still hold all of them.
  expect(seen?.nulls).toBe(nulls)
  const [min, max] = [Buffer.from(seen?.min as string), Buffer.from(seen?.max as string)]
  const [low, high] = [Buffer.from(least as string), Buffer.from(greatest as string)]
  expect(low.length <= 16 ? min.equals(low) : low.subarray(0, min.length).equals(min) && min.length > 12).toBe(true)
  expect(high.length <= 16 ? max.equals(high) : Buffer.compare(max, high) >= 0).toBe(true)
}

/** Least and greatest value in the format's order; of two zeros, -0 and +0. */
function bounds({ kind }: Column, values: readonly Value[]): [Value, Value] {
  const bytes = (value: Value) => Buffer.from(value as string)
  const order = (a: Value, b: Value) =>
    kind === 'utf8' || kind === 'numeric'
      ? Buffer.compare(bytes(a), bytes(b))
      : (a as number) < (b as number)
        ? -1
        : Number((a as number) > (b as number))
  const sorted = [...values].sort(order)
  const [least, greatest] = [sorted[0] as Value, sorted.at(-1) as Value]
  if (kind !== 'float32' && kind !== 'float64') return [least, greatest]
  return [least === 0 ? -0 : least, greatest === 0 ? 0 : greatest]
}

describe.each(COMPRESSIONS)('%s', (compression) => {
  test('every type, with NULLs and extremes, in one and in several row groups', async () => {
    const contents = [1, 2, 100].map((groupChunks) => ({ columns: COLUMNS, chunks: CHUNKS, groupChunks, compression }))
    const files = await readParquet(
      await Promise.all(contents.map((content, i) => write(`all-${compression}-${i}.parquet`, content))),
    )
    contents.forEach((content, i) => {
      expectContent(files[i], content)
    })
    for (const { createdBy, columns } of files) {
      expect(createdBy).toBe('scoreline version 1.0.0')
      expect(columns.map(({ name, physical, logical, arrow }) => ({ name, physical, logical, arrow }))).toEqual(
        CASES.map(({ column, physical, logical, arrow }) => ({ name: column.name, physical, logical, arrow })),
      )
    }
  })

  test('pages of megabytes, compressible and not', async () => {
    const columns: Column[] = [
      { name: 'id', kind: 'int64' },
      { name: 'noise', kind: 'binary' },
      { name: 'text', kind: 'utf8' },
    ]
    // Nothing that a compressor finds something in, and the same in every run.
    const noise = (seed: string) => createHash('shake256', { outputLength: 500 }).update(seed).digest()
    const chunks = Array.from({ length: 12 }, (_, chunk) =>
      Array.from({ length: 500 }, (_, row): Value[] => [
        BigInt(chunk * 500 + row),
        row % 7 === 0 ? null : noise(`${chunk} ${row}`),
        'over and over '.repeat(row % 40),
      ]),
    )
    const content = { columns, chunks, groupChunks: 6, compression }
    const [file] = await readParquet([await write(`pages-${compression}.parquet`, content)])
    expectContent(file, content)
    expect(file?.groups[0]?.bytes).toBeGreaterThan(2 * 1024 ** 2)
  })

  test('a file without a row', async () => {
    const content = { columns: COLUMNS, chunks: [], groupChunks: 3, compression }
    const [file] = await readParquet([await write(`empty-${compression}.parquet`, content)])
    expectContent(file, content)
    expect(file?.columns).toHaveLength(COLUMNS.length)
  })
})

const text = fc.string({ unit: 'grapheme', maxLength: 30 })
const unscaled = (precision: number) =>
  fc.bigInt({ min: 1n - 10n ** BigInt(precision), max: 10n ** BigInt(precision) - 1n })
const micros = fc.bigInt({ min: -MAX64, max: MAX64 - 1n })

const arbitraries: readonly (readonly [Omit<Column, 'name'>, fc.Arbitrary<Value>])[] = [
  [{ kind: 'bool' }, fc.boolean()],
  [{ kind: 'int16' }, fc.integer({ min: -32768, max: 32767 })],
  [{ kind: 'int32' }, fc.integer()],
  [{ kind: 'int64' }, fc.bigInt({ min: -MAX64 - 1n, max: MAX64 })],
  [{ kind: 'float32' }, fc.float()],
  [{ kind: 'float64' }, fc.double({ noNaN: true })],
  [{ kind: 'decimal', precision: 7, scale: 3 }, unscaled(7)],
  [{ kind: 'decimal', precision: 15, scale: 0 }, unscaled(15)],
  [{ kind: 'decimal', precision: 30, scale: 12 }, unscaled(30)],
  [{ kind: 'utf8' }, text],
  [{ kind: 'json' }, fc.json()],
  [{ kind: 'binary' }, fc.uint8Array().map(Buffer.from)],
  [{ kind: 'uuid' }, fc.uuid()],
  [{ kind: 'date' }, fc.integer({ min: -2_147_483_647, max: 2_147_483_646 })],
  [{ kind: 'timestamp' }, micros],
  [{ kind: 'timestamptz' }, micros],
]

const content: fc.Arbitrary<Content> = fc
  .tuple(fc.subarray([...arbitraries], { minLength: 1 }), fc.integer({ min: 0, max: 100 }))
  .chain(([chosen, nullPercent]) => {
    const cells = chosen.map(([, values]) =>
      fc.tuple(fc.integer({ min: 0, max: 99 }), values).map(([dice, value]) => (dice < nullPercent ? null : value)),
    )
    return fc.record({
      columns: fc.constant(chosen.map(([type], c) => ({ ...type, name: `c${c}` }))),
      chunks: fc.array(fc.array(fc.tuple(...cells), { maxLength: 20 }), { maxLength: 6 }),
      groupChunks: fc.integer({ min: 1, max: 3 }),
      compression: fc.constantFrom(...COMPRESSIONS),
    })
  })

test('random batches come back as they were', async () => {
  // One program reads them all: it takes longer to start than to read.
  const contents = fc.sample(content, { numRuns: 150, seed: 20_250_315 })
  const paths = await Promise.all(contents.map((one, i) => write(`random-${i}.parquet`, one)))
  const files = await readParquet(paths)
  contents.forEach((one, i) => {
    expectContent(files[i], one)
  })
})
