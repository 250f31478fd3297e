// What a cron expression means, and what is refused, on a calendar without time zones.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Cron, nextMatch, parseCron } from '../../src/job/cron.ts'

function cronOf(text: string): Cron {
  const parsed = parseCron(text)
  if ('detail' in parsed) throw new Error(parsed.detail)
  return parsed.cron
}

/** The next `count` times from a moment on, as text. */
function times(text: string, from: string, count: number): string[] {
  const found: string[] = []
  let wall = Date.parse(`${from}Z`)
  while (found.length < count) {
    const match = nextMatch(cronOf(text), wall)
    if (match === null) throw new Error(`${text} never fits`)
    found.push(new Date(match).toISOString().slice(0, 19))
    wall = match + 1
  }
  return found
}

describe('meaning', () => {
  test.each<[string, string, string[]]>([
    ['0 2 * * *', '2026-01-31T02:00:00', ['2026-01-31T02:00:00', '2026-02-01T02:00:00']],
    ['0 2 * * *', '2026-01-31T02:00:01', ['2026-02-01T02:00:00']],
    ['*/20 9-10 * * *', '2026-05-05T09:30:00', ['2026-05-05T09:40:00', '2026-05-05T10:00:00', '2026-05-05T10:20:00']],
    ['5,35 0 1 jan,JUL *', '2026-01-01T00:06:00', ['2026-01-01T00:35:00', '2026-07-01T00:05:00']],
    ['0 0 * * mon-fri', '2026-11-27T00:01:00', ['2026-11-30T00:00:00', '2026-12-01T00:00:00']],
    ['0 0 * * 7', '2026-11-23T00:00:00', ['2026-11-29T00:00:00']],
    ['0 0 29 2 *', '2096-03-01T00:00:00', ['2104-02-29T00:00:00']],
    ['@daily', '2026-11-23T00:00:01', ['2026-11-24T00:00:00']],
    ['*/20 * * * * *', '2026-11-23T23:59:30', ['2026-11-23T23:59:40', '2026-11-24T00:00:00', '2026-11-24T00:00:20']],
    // Either day field may fit when both are restricted.
    ['0 9 13 * 5', '2026-02-07T00:00:00', ['2026-02-13T09:00:00', '2026-02-20T09:00:00', '2026-02-27T09:00:00']],
    ['0 9 13 * 1', '2026-02-10T00:00:00', ['2026-02-13T09:00:00', '2026-02-16T09:00:00']],
  ])('%s from %s', (text, from, expected) => {
    expect(times(text, from, expected.length)).toEqual(expected)
  })

  test('is that of a walk over every minute', () => {
    const list = (min: number, max: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((values) => values.join()),
      )
    const fields = fc.tuple(list(0, 59), list(0, 23), list(1, 28), list(1, 12), list(0, 6))
    const moment = fc.integer({ min: Date.UTC(2026, 0) / 60_000, max: Date.UTC(2029, 0) / 60_000 })
    fc.assert(
      fc.property(fields, moment, (expression, minute) => {
        const fits = (at: number): boolean => {
          const [minutes, hours, days, months, weekdays] = expression
          const date = new Date(at)
          const among = (field: string, value: number) => field === '*' || field.split(',').includes(String(value))
          const inMonth = among(days, date.getUTCDate())
          const inWeek = among(weekdays, date.getUTCDay())
          return (
            among(minutes, date.getUTCMinutes()) &&
            among(hours, date.getUTCHours()) &&
            among(months, date.getUTCMonth() + 1) &&
            (days !== '*' && weekdays !== '*' ? inMonth || inWeek : inMonth && inWeek)
          )
        }
        // Two days are walked; beyond them only that nothing was invented.
        const from = minute * 60_000
        let expected: number | null = null
        for (let at = from; at < from + 2 * 86_400_000 && expected === null; at += 60_000) if (fits(at)) expected = at
        const match = nextMatch(cronOf(expression.join(' ')), from) as number
        if (expected !== null) expect(match).toBe(expected)
        else expect([match >= from + 2 * 86_400_000, fits(match)]).toEqual([true, true])
      }),
      { numRuns: 300 },
    )
  })
})

describe('refused', () => {
  test.each([
    ['', 'expected minute hour day-of-month month day-of-week'],
    ['0 2 * *', 'such as 0 2 * * *; got 0 2 * *'],
    ['0 0 2 * * * *', 'such as 0 2 * * *'],
    ['every day', 'such as 0 2 * * *'],
    ['60 * * * *', 'expected 0-59 for the minute, also as a list, range or step such as 1,3 or 1-5 or */5; got 60'],
    ['0 24 * * *', 'expected 0-23 for the hour'],
    ['0 0 0 * *', 'expected 1-31 for the day of the month'],
    ['0 0 1 13 *', 'expected 1-12 or jan-dec for the month'],
    ['0 0 * * 8', 'expected 0-7 or sun-sat for the day of the week'],
    ['*/0 * * * *', 'expected 0-59 for the minute'],
    ['0 0 1 jan1 *', 'got jan1'],
    ['0 0 1 janjan *', 'got janjan'],
    ['0 0 L * *', 'got L'],
    ['0 0 15W * *', 'got 15W'],
    ['0 0 * * 5#2', 'got 5#2'],
    ['0 0 31 4 *', 'expected a day that one of the months has; got 0 0 31 4 *'],
    ['0 0 30 2 *', 'expected a day that one of the months has'],
  ])('%j', (text, reason) => {
    const parsed = parseCron(text)
    expect('detail' in parsed && parsed.detail).toContain(reason)
  })

  test('any text gets an answer', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-0-9*,/a-z ]{0,30}$/)), (text) => {
        const parsed = parseCron(text)
        expect('detail' in parsed ? parsed.detail.length : nextMatch(parsed.cron, 0)).toEqual(expect.any(Number))
      }),
    )
  })
})
