// The contract of values: every kind of column, NULLs and extremes among them, is read back equal to what was written; and a value
// that the destination's type cannot hold is refused by name.
import { expect, test } from 'vitest'
import type { Column } from '../../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { batchOf, type Value } from '../batches.ts'
import { plainValue } from './plain-value.ts'
import { plannedJob } from './rows.ts'
import { PERMANENT, rejection } from './run.ts'
import type { SinkWorld } from './world.ts'

const MAX_DECIMAL = 10n ** 38n - 1n
const LAST_MICROSECOND = 253_402_300_799_999_999n
const MIN_INT64 = -(2n ** 63n)
const MAX_INT64 = 2n ** 63n - 1n

/** A column, values that every destination holds, and values that some types do not have (infinite times, a decimal's NaN). */
interface Case {
  readonly column: Column
  readonly values: readonly Value[]
  readonly special?: readonly Value[]
}

const CASES: readonly Case[] = [
  { column: { name: 'b', kind: 'bool' }, values: [true, false] },
  { column: { name: 'i16', kind: 'int16' }, values: [-32768, 32767, 0] },
  { column: { name: 'i32', kind: 'int32' }, values: [-2147483648, 2147483647, 7] },
  { column: { name: 'i64', kind: 'int64' }, values: [MIN_INT64, MAX_INT64, -9007199254740993n] },
  {
    column: { name: 'f32', kind: 'float32' },
    values: [0.1, 3.4028234663852886e38, 1.401298464324817e-45, -1.5].map(Math.fround),
    special: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  },
  {
    column: { name: 'f64', kind: 'float64' },
    values: [0.1, Number.MAX_VALUE, 5e-324, -123456789.125],
    special: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  },
  {
    column: { name: 'd9', kind: 'decimal', precision: 9, scale: 2 },
    values: [999999999n, -999999999n, -5n, 0n, 150n],
    special: [-(2n ** 127n)],
  },
  {
    column: { name: 'd18', kind: 'decimal', precision: 18, scale: 0 },
    values: [10n ** 18n - 1n, 1n - 10n ** 18n, 0n],
    special: [-(2n ** 127n)],
  },
  {
    column: { name: 'd38', kind: 'decimal', precision: 38, scale: 10 },
    values: [MAX_DECIMAL, -MAX_DECIMAL, 1n],
    special: [-(2n ** 127n)],
  },
  {
    column: { name: 'n', kind: 'numeric' },
    values: [`${'9'.repeat(60)}.5`, `-0.${'0'.repeat(40)}1`, '0', '12345678901234567890.1234567890'],
    special: ['NaN', 'Infinity', '-Infinity'],
  },
  {
    column: { name: 't', kind: 'utf8' },
    values: ['', 'NULL', ' a "quoted", text\r\nover\ttwo lines\\ ', 'žluťoučký 🐎 '.repeat(300), 'é, e\u0301'],
  },
  { column: { name: 'j', kind: 'json' }, values: ['{"a": [1, "b", null], "é": 1.5}', 'null', '""', '[]'] },
  { column: { name: 'jb', kind: 'jsonb' }, values: ['{"a": [1, "b", null], "é": 1.5}', 'null', '""', '[]'] },
  {
    column: { name: 'bin', kind: 'binary' },
    values: [Uint8Array.of(0, 255, 10, 13), new Uint8Array(0), Uint8Array.of(44), new Uint8Array(5000).fill(92)],
  },
  {
    column: { name: 'u', kind: 'uuid' },
    values: [
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '00000000-0000-0000-0000-000000000000',
    ],
  },
  {
    column: { name: 'date', kind: 'date' },
    values: [0, -1, -719_162, 2_932_896],
    special: [2147483647, -2147483648],
  },
  {
    column: { name: 'ts', kind: 'timestamp' },
    values: [0n, -1n, 1_709_208_000_000_000n, LAST_MICROSECOND, -62_135_596_800_000_000n],
    special: [MAX_INT64, MIN_INT64],
  },
  {
    column: { name: 'tstz', kind: 'timestamptz' },
    values: [0n, 1n, 1_709_208_000_100_000n, LAST_MICROSECOND, -62_135_596_800_000_000n],
    special: [MAX_INT64, MIN_INT64],
  },
]

/** Chunk sizes that leave bitmaps off their byte boundaries. */
const CHUNK_SIZES = [1, 7, 8, 13, 16, 3]

export function valueContract(world: SinkWorld): void {
  const refuses = (column: Column, value: Value) => world.refuses?.(column, value) ?? false
  const spell = (column: Column, seen: unknown) => (world.spell ? world.spell(column, seen) : seen)
  const expected = (column: Column, value: Value) => (world.seenAsNull?.(column, value) ? null : shown(column, value))

  test('every kind of column, with NULLs and extremes, is read back equal', async () => {
    const id: Column = { name: 'id', kind: 'int32' }
    // The cases have lists of different lengths: rows meet in ever new combinations, and each list has a NULL.
    const columns = [id, ...CASES.map(({ column }) => column)]
    const lists = CASES.map(({ column, values, special = [] }) => [
      ...values,
      null,
      ...special.filter((value) => !refuses(column, value)),
    ])
    const rows = Array.from({ length: CHUNK_SIZES.reduce((a, b) => a + b, 0) }, (_, r): Value[] => [
      r,
      ...lists.map((list) => list[r % list.length] as Value),
    ])
    const seen = await writeAndRead(world, columns, rows)
    seen.sort((a, b) => Number(a.id) - Number(b.id))
    expect(seen).toHaveLength(rows.length)
    for (const [c, column] of columns.entries())
      expect(
        seen.map((row) => plainValue(column, spell(column, row[column.name] ?? null))),
        column.kind,
      ).toEqual(rows.map((row) => plainValue(column, expected(column, row[c] as Value))))
  })

  test('columns of nothing but NULL', async () => {
    const columns = CASES.map(({ column }) => column)
    const seen = await writeAndRead(world, columns, Array(9).fill(columns.map(() => null)))
    expect(seen).toHaveLength(9)
    for (const row of seen) expect(columns.map(({ name }) => row[name] ?? null)).toEqual(columns.map(() => null))
  })

  if (world.refuses) {
    test('a value that the type cannot hold ends the job with the name of its column, and is not bent', async () => {
      for (const { column, special = [] } of CASES)
        for (const value of special.filter((each) => refuses(column, each))) {
          const planned = plannedJob(world, world.freshOutput('append'), { 0: [2] })
          const job = { ...planned, columns: [column], keyColumn: null }
          const sink = world.openSink()
          await sink.prepare(job)
          const writer = await sink.openLane(job, 0)
          const batch = batchOf([column], [[null], [value]])
          const written = writer.write([{ seq: 0, batch, failed: [] }]).then(() => writer.end())
          expect(await rejection(written), `${column.kind} ${value}`).toMatchObject({
            ...PERMANENT,
            message: expect.stringContaining(column.name),
          })
          await writer.close()
          await sink.discard(job)
          expect(await world.leftovers(job)).toEqual([])
        }
    })
  }
}

/** A job of these rows in one lane, through the payload and back, for that is how buffers reach a sink. */
async function writeAndRead(
  world: SinkWorld,
  columns: readonly Column[],
  rows: readonly (readonly Value[])[],
): Promise<Record<string, unknown>[]> {
  const planned = plannedJob(world, world.freshOutput('append'), { 0: CHUNK_SIZES })
  const job = { ...planned, columns, keyColumn: null }
  const sink = world.openSink()
  await sink.prepare(job)
  const writer = await sink.openLane(job, 0)
  let from = 0
  for (const [seq, size] of CHUNK_SIZES.entries()) {
    const batch = decodeColumns(encodeColumns(batchOf(columns, rows.slice(from, from + size))))
    await writer.write([{ seq, batch, failed: [] }])
    from += size
  }
  await writer.end()
  await writer.close()
  await sink.finalise(job, BigInt(Math.min(from, rows.length)))
  return [...((await world.read(job.output)) ?? [])]
}

/** A value as it was written, in the spelling of SQL. */
function shown(column: Column, value: Value): Value {
  if (value === null) return null
  switch (column.kind) {
    case 'decimal':
      return decimalText(value as bigint, column.scale ?? 0)
    case 'binary':
      return Buffer.from(value as Uint8Array).toString('hex')
    case 'date':
      return Math.abs(value as number) > 10 ** 9 ? infinity((value as number) > 0) : isoDay(value as number)
    case 'timestamp':
    case 'timestamptz':
      return value === MAX_INT64 || value === MIN_INT64 ? infinity(value > 0n) : isoTime(value as bigint)
    default:
      return value
  }
}

function infinity(positive: boolean): string {
  return positive ? 'infinity' : '-infinity'
}

function decimalText(unscaled: bigint, scale: number): string {
  if (unscaled === -(2n ** 127n)) return 'NaN'
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  return unscaled < 0n ? `-${text}` : text
}

function isoDay(days: number): string {
  return new Date(days * 86_400_000).toISOString().slice(0, 10)
}

function isoTime(microseconds: bigint): string {
  const second = 1_000_000n
  const fraction = ((microseconds % second) + second) % second
  const seconds = Number((microseconds - fraction) / second)
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(fraction).padStart(6, '0')}`
}
