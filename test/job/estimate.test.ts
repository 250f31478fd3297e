// Estimates from few past runs: within a factor of two of what comes, whatever the sizes.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { estimateMs } from '../../src/job/estimate.ts'

const rowCount = fc.integer({ min: 0, max: 50_000_000 })
const duration = fc.integer({ min: 50, max: 10 * 3_600_000 })
const run = fc.record({ rows: rowCount, ms: duration })

/** How many times one is the other. */
function factor(a: number, b: number): number {
  return a > b ? a / b : b / a
}

test('the second run of the same job takes what the first took', () => {
  // From a fast store and a tiny model to a slow one with a huge model.
  const truth = fc.record({
    fixed: fc.integer({ min: 100, max: 5_000 }),
    perRow: fc.double({ min: 0.0005, max: 1, noNaN: true }),
    rows: rowCount,
  })
  fc.assert(
    fc.property(truth, ({ fixed, perRow, rows }) => {
      const ms = fixed + perRow * rows
      expect(factor(estimateMs(rows, [{ rows, ms }]), ms)).toBeLessThan(2)
    }),
  )
})

describe('after a job of another size', () => {
  test('a thousand rows, nearly all of it fixed part, do not make a million take a thousand times as long', () => {
    const past = [
      { rows: 1_000, ms: 600 },
      { rows: 1_000, ms: 450 },
      { rows: 1_100, ms: 700 },
    ]
    expect(estimateMs(1_000_000, past)).toBeLessThan(15_000)
    expect(factor(estimateMs(1_000, past), 580)).toBeLessThan(1.3)
  })

  test('a million rows say what ten million take, and not that a thousand take as long', () => {
    const past = [{ rows: 1_000_000, ms: 60_000 }]
    expect(factor(estimateMs(10_000_000, past), 600_000)).toBeLessThan(1.3)
    expect(estimateMs(1_000, past)).toBeLessThan(3_000)
  })

  test('with both sizes seen, sizes between and beyond are right', () => {
    const ms = (rows: number) => 800 + rows * 0.02
    const past = [1_000, 1_000_000, 5_000].map((rows) => ({ rows, ms: ms(rows) }))
    for (const rows of [10, 1_000, 30_000, 200_000, 5_000_000])
      expect(factor(estimateMs(rows, past), ms(rows))).toBeLessThan(1.5)
  })
})

test('nothing seen: a fixed part and the rate of a small machine', () => {
  expect(estimateMs(0, [])).toBeCloseTo(500)
  expect(estimateMs(1_000_000, [])).toBeCloseTo(5_500)
})

test('more rows never take less time, and no time is negative, whatever was seen', () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 20 }), rowCount, rowCount, (past, a, b) => {
      const [few, many] = [estimateMs(Math.min(a, b), past), estimateMs(Math.max(a, b), past)]
      expect(few).toBeGreaterThanOrEqual(0)
      expect(many).toBeGreaterThanOrEqual(few)
    }),
  )
})
