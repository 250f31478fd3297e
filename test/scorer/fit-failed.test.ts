// Failed rows in a size that a record can hold, however many there are and however long their texts.
import { expect, test } from 'vitest'
import { fittingRows } from '../../src/scorer/fit-failed.ts'
import type { FailedRow } from '../../topics/scored.ts'

const MIB = 1024 * 1024
const bytesOf = (rows: unknown) => Buffer.byteLength(JSON.stringify(rows))

function failed(count: number, columns: number, cell: string, reason: string): FailedRow[] {
  return Array.from({ length: count }, (_, row) => ({
    row,
    reason,
    input: Object.fromEntries([['id', String(row)], ...Array.from({ length: columns }, (_, i) => [`c${i}`, cell])]),
  }))
}

test('rows that fit are as they were, NULL too', () => {
  const rows = [
    ...failed(100, 10, 'x'.repeat(1_000), 'NULL in a'),
    { row: 100, reason: 'NULL in b', input: { b: null } },
  ]
  expect(fittingRows(rows, 'id')).toEqual(rows)
})

test('a reason is cut', () => {
  const [row] = fittingRows(failed(1, 1, 'x', 'r'.repeat(1_000_000)), null)
  expect(row?.reason).toMatch(/^r{10000}…$/)
})

test('one row of many long texts is a letter still, and the others are as they were', () => {
  const [wide, small] = [failed(1, 1_500, '€'.repeat(1_000), 'refused'), failed(1, 3, 'x', 'refused')]
  const rows = fittingRows([...wide, ...small], 'id')
  expect(bytesOf(rows[0])).toBeLessThan(800_001)
  expect(rows[0]).toMatchObject({ row: 0, reason: 'refused', input: { id: '0', c0: `${'€'.repeat(50)}…` } })
  expect(rows[1]).toEqual(small[0])
})

test('a whole chunk of them fits, and says of each which row it is', () => {
  for (const rows of [failed(4_000, 20, 'x'.repeat(250), 'r'.repeat(300)), failed(100_000, 1, 'x', 'r'.repeat(300))]) {
    const fitting = fittingRows(rows, 'id')
    expect(bytesOf(fitting)).toBeLessThan(7 * MIB)
    expect(fitting.map(({ row }) => row)).toEqual(rows.map(({ row }) => row))
    expect(fitting.every(({ reason }) => reason.startsWith('r'.repeat(20)))).toBe(true)
  }
  expect(fittingRows(failed(100_000, 0, '', 'r'), 'id')[7]).toEqual({ row: 7, reason: 'r', input: { id: '7' } })
})
