import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { partEncoder } from '../../../connectors/files/format.ts'
import { type FileSizing, partOf, partPlan, partRange } from '../../../connectors/files/part-plan.ts'
import type { Column } from '../../../topics/columns.ts'
import { BARE_OUTPUT } from '../../../topics/jobs.ts'
import { batchOf } from './batches.ts'

const column = fc.constantFrom<Column>(
  { name: 'a', kind: 'int64' },
  { name: 'b', kind: 'float32' },
  { name: 'c', kind: 'utf8' },
  { name: 'd', kind: 'binary' },
  { name: 'e', kind: 'decimal', precision: 38, scale: 2 },
  { name: 'f', kind: 'bool' },
)
const columns = fc.array(column, { minLength: 1, maxLength: 200 })
const chunkRows = fc.integer({ min: 1, max: 1_000_000 })
const output = fc.record({
  destination: fc.constantFrom('parquet' as const, 'csv' as const),
  compression: fc.constantFrom(null, 'none' as const, 'snappy' as const, 'zstd' as const, 'gzip' as const),
  target_file_mb: fc.option(fc.integer({ min: 1, max: 4096 })),
})
const PARQUET: FileSizing = { destination: 'parquet', compression: 'zstd', target_file_mb: 128 }

describe('partPlan', () => {
  test('every chunk is in exactly one part, parts are contiguous and made of whole row groups', () => {
    fc.assert(
      fc.property(columns, chunkRows, output, fc.nat(10_000_000), (columns, chunkRows, output, seq) => {
        const plan = partPlan(chunkRows, columns, output)
        const k = partOf(plan, seq)
        const { firstSeq, lastSeq } = partRange(plan, k)
        expect(firstSeq <= seq && seq <= lastSeq).toBe(true)
        expect(partRange(plan, k + 1).firstSeq).toBe(lastSeq + 1)
        expect(firstSeq % plan.groupChunks).toBe(0)
        expect(plan.partChunks % plan.groupChunks).toBe(0)
        expect(partPlan(chunkRows, columns, output)).toEqual(plan)
      }),
    )
  })

  test('row groups hold about 100,000 rows, or less where rows are wide; a chunk is never cut', () => {
    fc.assert(
      fc.property(columns, chunkRows, output, (columns, chunkRows, output) => {
        const { groupChunks } = partPlan(chunkRows, columns, output)
        expect(groupChunks * chunkRows).toBeLessThanOrEqual(Math.max(chunkRows, 150_000))
      }),
    )
    const wide = Array.from({ length: 100 }, (_, i): Column => ({ name: `c${i}`, kind: 'float64' }))
    expect(partPlan(1000, wide, PARQUET)).toMatchObject({ groupChunks: 42 })
    // A group is no larger than the file.
    const text: Column[] = [{ name: 'a', kind: 'utf8' }]
    expect(partPlan(1000, text, { destination: 'csv', compression: 'none', target_file_mb: 1 })).toEqual({
      groupChunks: 52,
      partChunks: 52,
    })
  })

  test('a larger target makes no smaller parts, and none holds more raw columns than a lane may keep in Kafka', () => {
    fc.assert(
      fc.property(columns, chunkRows, output, (columns, chunkRows, output) => {
        const parts = [1, 16, 128, 1024, 4096].map((mb) =>
          partPlan(chunkRows, columns, { ...output, target_file_mb: mb }),
        )
        const rows = parts.map(({ partChunks }) => partChunks * chunkRows)
        expect(rows).toEqual([...rows].sort((a, b) => a - b))
        const booleans = columns.map((column): Column => ({ ...column, kind: 'bool' }))
        const { partChunks, groupChunks } = partPlan(chunkRows, booleans, { ...output, target_file_mb: 4096 })
        const rounding = groupChunks * chunkRows
        expect((partChunks * chunkRows - rounding) * booleans.length).toBeLessThanOrEqual(4 * 1024 ** 3)
      }),
    )
    expect(partPlan(1000, [{ name: 'a', kind: 'int64' }], PARQUET)).toEqual({ groupChunks: 100, partChunks: 67_100 })
    expect(partPlan(1000, [{ name: 'a', kind: 'int64' }], { ...PARQUET, target_file_mb: null })).toEqual(
      partPlan(1000, [{ name: 'a', kind: 'int64' }], PARQUET),
    )
  })

  test.each([
    { destination: 'parquet', compression: 'none' },
    { destination: 'parquet', compression: 'snappy' },
    { destination: 'parquet', compression: 'zstd' },
    { destination: 'csv', compression: 'none' },
    { destination: 'csv', compression: 'gzip' },
  ] as const)('a $destination file ($compression) has about the target size', async ({ destination, compression }) => {
    const chunk = predictions(100_000)
    const { partChunks } = partPlan(chunk.rows, chunk.columns, { destination, compression, target_file_mb: 8 })
    const output = { ...BARE_OUTPUT, destination, compression, mode: 'overwrite' as const }
    const encoder = partEncoder(output, chunk.columns, 1)
    let bytes = 0
    for (let i = 0; i < partChunks; i++) bytes += (await encoder.add(chunk)).length
    bytes += (await encoder.finish()).length
    expect(bytes / 1024 ** 2).toBeGreaterThan(5)
    expect(bytes / 1024 ** 2).toBeLessThan(12)
  })
})

/** What a classifier gives, with ids and amounts that pass through; the same each time. */
function predictions(rows: number) {
  const columns: Column[] = [
    { name: 'customer_id', kind: 'int64' },
    { name: 'amount', kind: 'float64' },
    { name: 'label', kind: 'int64' },
    { name: 'probability', kind: 'float32' },
  ]
  const chance = (i: number) => createHash('md5').update(String(i)).digest().readUInt32LE() / 2 ** 32
  const values = Array.from({ length: rows }, (_, i) => [
    BigInt(100_000 + i),
    Math.round(chance(i) * 1e6) / 100,
    BigInt(Math.round(chance(i))),
    Math.fround(chance(-i)),
  ])
  return batchOf(columns, values)
}
