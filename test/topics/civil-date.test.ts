import fc from 'fast-check'
import { expect, test } from 'vitest'
import { civilDate } from '../../topics/civil-date.ts'

const DAY_MS = 86_400_000
/** The calendar repeats itself after 400 years. */
const ERA_DAYS = 146_097

test('every day of 32 bits is what JavaScript says of it, or of the same day some eras nearer', () => {
  const day = fc.oneof(fc.integer({ min: -1_000_000, max: 1_000_000 }), fc.integer())
  fc.assert(
    fc.property(day, (days) => {
      const eras = Math.trunc(days / ERA_DAYS)
      const date = new Date((days - eras * ERA_DAYS) * DAY_MS)
      expect(civilDate(days)).toEqual({
        year: date.getUTCFullYear() + 400 * eras,
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
      })
    }),
    { numRuns: 20_000, examples: [[2 ** 31 - 1], [-(2 ** 31)], [-719_468], [-719_469], [11_016], [-1]] },
  )
})
