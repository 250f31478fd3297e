import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { partOf, partPlan, partRange } from '../../../connectors/files/part-plan.ts'
import type { Column } from '../../../topics/columns.ts'

const column = fc.constantFrom<Column>(
  { name: 'a', kind: 'int64' },
  { name: 'b', kind: 'float32' },
  { name: 'c', kind: 'utf8' },
  { name: 'd', kind: 'binary' },
  { name: 'e', kind: 'decimal', precision: 38, scale: 2 },
  { name: 'f', kind: 'bool' },
  { name: 'g', kind: 'float32', length: 768 },
)
const columns = fc.array(column, { minLength: 1, maxLength: 200 })
const chunkRows = fc.integer({ min: 1, max: 1_000_000 })

describe('partPlan', () => {
  test('every chunk is in exactly one part, parts are contiguous and made of whole row groups', () => {
    fc.assert(
      fc.property(columns, chunkRows, fc.nat(10_000_000), (columns, chunkRows, seq) => {
        const plan = partPlan(chunkRows, columns)
        const k = partOf(plan, seq)
        const { firstSeq, lastSeq } = partRange(plan, k)
        expect(firstSeq <= seq && seq <= lastSeq).toBe(true)
        expect(partRange(plan, k + 1).firstSeq).toBe(lastSeq + 1)
        expect(firstSeq % plan.groupChunks).toBe(0)
        expect(plan.partChunks % plan.groupChunks).toBe(0)
        expect(partPlan(chunkRows, columns)).toEqual(plan)
      }),
    )
  })

  test('a list is as wide as its elements as columns of their own', () => {
    const singly = Array.from({ length: 768 }, (_, i): Column => ({ name: `g_${i}`, kind: 'float32' }))
    expect(partPlan(100, [{ name: 'g', kind: 'float32', length: 768 }])).toEqual(partPlan(100, singly))
  })

  test('parts hold about a million rows, or less where rows are wide; a chunk is never cut', () => {
    fc.assert(
      fc.property(columns, chunkRows, (columns, chunkRows) => {
        const { partChunks, groupChunks } = partPlan(chunkRows, columns)
        expect(groupChunks * chunkRows).toBeLessThanOrEqual(Math.max(chunkRows, 150_000))
        expect(partChunks * chunkRows).toBeLessThanOrEqual(Math.max(chunkRows, 1_500_000))
      }),
    )
    expect(partPlan(1000, [{ name: 'a', kind: 'int64' }])).toEqual({ groupChunks: 100, partChunks: 1000 })
    const wide = Array.from({ length: 100 }, (_, i): Column => ({ name: `c${i}`, kind: 'float64' }))
    expect(partPlan(1000, wide)).toEqual({ groupChunks: 42, partChunks: 168 })
  })
})
