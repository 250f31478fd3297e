// When schedules fire in time zones whose clocks are changed: an hour in Berlin and New York, half an hour on Lord Howe
// Island, at midnight in Cairo, a whole day once in Apia.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Cron, isHourly, parseCron } from '../../src/job/cron.ts'
import { isTimeZone, lastFiring, nextFiring } from '../../src/job/firing.ts'

const MINUTE_MS = 60_000

function cronOf(text: string): Cron {
  const parsed = parseCron(text)
  if ('detail' in parsed) throw new Error(parsed.detail)
  return parsed.cron
}

/** Firings in (after, until], as UTC without the date's year. */
function firings(text: string, timeZone: string, after: string, until: string): string[] {
  const found: string[] = []
  let at = Date.parse(after)
  for (;;) {
    at = nextFiring(cronOf(text), timeZone, at) ?? Number.POSITIVE_INFINITY
    if (at > Date.parse(until)) return found
    found.push(new Date(at).toISOString().slice(5, 16))
  }
}

describe('clocks go forward', () => {
  test.each<[string, string, string, string, string[]]>([
    // 29 March 2026: Berlin's clocks go from 2:00 to 3:00 at 1:00 UTC.
    ['30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-30T12:00Z', ['03-29T01:00', '03-30T00:30']],
    ['0 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-30T12:00Z', ['03-29T01:00', '03-30T00:00']],
    // What the gap leaves out fires once at its end, together with what belongs there.
    [
      '0,20,40 2-3 * * *',
      'Europe/Berlin',
      '2026-03-29T00:00Z',
      '2026-03-29T06:00Z',
      ['03-29T01:00', '03-29T01:20', '03-29T01:40'],
    ],
    [
      '*/30 * * * *',
      'Europe/Berlin',
      '2026-03-29T00:00Z',
      '2026-03-29T02:00Z',
      ['03-29T00:30', '03-29T01:00', '03-29T01:30', '03-29T02:00'],
    ],
    ['30 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z', '2026-03-29T02:00Z', ['03-29T00:30', '03-29T01:30']],
    // 8 March 2026: New York's from 2:00 to 3:00 at 7:00 UTC.
    ['30 2 * * *', 'America/New_York', '2026-03-07T12:00Z', '2026-03-09T12:00Z', ['03-08T07:00', '03-09T06:30']],
    // 4 October 2026: Lord Howe's from 2:00 to 2:30 at 15:30 UTC of the day before.
    ['15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00Z', '2026-10-05T00:00Z', ['10-03T15:30', '10-04T15:15']],
    // 24 April 2026: Cairo's from 0:00 to 1:00 at 22:00 UTC of the day before.
    ['0 0 * * *', 'Africa/Cairo', '2026-04-23T00:00Z', '2026-04-25T00:00Z', ['04-23T22:00', '04-24T21:00']],
  ])('%s in %s', (text, timeZone, after, until, expected) => {
    expect(firings(text, timeZone, after, until)).toEqual(expected)
  })

  test('a day that a zone leaves out', () => {
    // Apia had no 30 December 2011: it is made up for when the 31st begins, at 10:00 UTC on the 30th.
    const year = firings('0 8 * * *', 'Pacific/Apia', '2011-12-29T00:00Z', '2011-12-31T20:00Z')
    expect(year).toEqual(['12-29T18:00', '12-30T10:00', '12-30T18:00', '12-31T18:00'])
  })
})

describe('clocks go back', () => {
  test.each<[string, string, string, string, string[]]>([
    // 25 October 2026: Berlin's clocks go from 3:00 to 2:00 at 1:00 UTC.
    ['30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-26T12:00Z', ['10-25T00:30', '10-26T01:30']],
    ['0 3 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-26T12:00Z', ['10-25T02:00', '10-26T02:00']],
    // Asked in the midst of the second 2 o'clock, and a second before it.
    ['45 2 * * *', 'Europe/Berlin', '2026-10-25T01:10Z', '2026-10-26T12:00Z', ['10-26T01:45']],
    ['45 2 * * *', 'Europe/Berlin', '2026-10-25T00:59:59Z', '2026-10-26T12:00Z', ['10-26T01:45']],
    [
      '*/30 * * * *',
      'Europe/Berlin',
      '2026-10-25T00:00Z',
      '2026-10-25T02:00Z',
      ['10-25T00:30', '10-25T01:00', '10-25T01:30', '10-25T02:00'],
    ],
    // 1 November 2026: New York's from 2:00 to 1:00 at 6:00 UTC.
    ['30 1 * * *', 'America/New_York', '2026-10-31T12:00Z', '2026-11-02T12:00Z', ['11-01T05:30', '11-02T06:30']],
    // 5 April 2026: Lord Howe's from 2:00 to 1:30 at 15:00 UTC of the day before.
    ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00Z', '2026-04-06T00:00Z', ['04-04T14:45', '04-05T15:15']],
    [
      '*/15 * * * *',
      'Australia/Lord_Howe',
      '2026-04-04T14:30Z',
      '2026-04-04T15:30Z',
      ['04-04T14:45', '04-04T15:00', '04-04T15:15', '04-04T15:30'],
    ],
    // 30 October 2026: Cairo's from 24:00 to 23:00 at 21:00 UTC; the next such day is a year away.
    [
      '0,30 * 29 10 *',
      'Africa/Cairo',
      '2026-10-29T20:00Z',
      '2027-10-01T00:00Z',
      ['10-29T20:30', '10-29T21:00', '10-29T21:30'],
    ],
  ])('%s in %s', (text, timeZone, after, until, expected) => {
    expect(firings(text, timeZone, after, until)).toEqual(expected)
  })
})

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Africa/Cairo', 'Asia/Kolkata']
/** Around the changes of these zones in 2026, and a day without one. */
const DAYS = [
  '2026-03-07',
  '2026-03-28',
  '2026-04-04',
  '2026-04-23',
  '2026-07-01',
  '2026-10-03',
  '2026-10-24',
  '2026-10-29',
  '2026-10-31',
]

const field = (min: number, max: number) =>
  fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 3 }).map((values) => values.join())
const expressions = fc
  .tuple(field(0, 59), fc.oneof(field(0, 3), field(0, 23), fc.constant('*')))
  .map(([minutes, hours]) => `${minutes} ${hours} * * *`)
const zones = fc.constantFrom(...ZONES)
const moments = fc
  .tuple(fc.constantFrom(...DAYS), fc.integer({ min: 0, max: 48 * 60 }))
  .map(([day, minute]) => Date.parse(day) + minute * MINUTE_MS)

/** What the clocks of a zone show at a moment, in minutes. */
function shownMinute(clock: Intl.DateTimeFormat, at: number): number {
  return Date.parse(`${clock.format(at).replace(' ', 'T')}Z`) / MINUTE_MS
}

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const day = { year: 'numeric', month: '2-digit', day: '2-digit' } as const
  // Swedish writes dates as ISO 8601 does.
  return new Intl.DateTimeFormat('sv-SE', { timeZone, ...day, hour: '2-digit', minute: '2-digit' })
}

/** Firings in (after, until] by looking at a zone's clock every minute, as a person would. */
function watched(cron: Cron, timeZone: string, after: number, until: number): number[] {
  const clock = clockOf(timeZone)
  const fits = (minute: number) =>
    cron.minutes.includes(minute % 60) && cron.hours.includes(Math.floor(minute / 60) % 24)
  const found: number[] = []
  let latest = shownMinute(clock, after - 1_440 * MINUTE_MS)
  for (let at = after - 1_439 * MINUTE_MS; at <= until; at += MINUTE_MS) {
    const shown = shownMinute(clock, at)
    let due = isHourly(cron) && fits(shown)
    // Of a time of the day: whatever the clock shows, or has skipped, for the first time.
    if (!isHourly(cron)) for (let minute = latest + 1; minute <= shown; minute++) due ||= fits(minute)
    latest = Math.max(latest, shown)
    if (due && at > after) found.push(at)
  }
  return found
}

test('firings are those of somebody who watches the clock', () => {
  fc.assert(
    fc.property(expressions, zones, moments, (text, timeZone, after) => {
      const cron = cronOf(text)
      const until = after + 1_440 * MINUTE_MS
      const found: number[] = []
      for (let at = nextFiring(cron, timeZone, after); at !== null && at <= until; at = nextFiring(cron, timeZone, at))
        found.push(at)
      expect(found.map((at) => new Date(at).toISOString())).toEqual(
        watched(cron, timeZone, after, until).map((at) => new Date(at).toISOString()),
      )
    }),
    { numRuns: 400 },
  )
})

test('the next firing is always later, and the last one is the end of the chain', () => {
  const spans = fc.integer({ min: 0, max: 3 * 1_440 })
  fc.assert(
    fc.property(expressions, zones, moments, spans, (text, timeZone, after, minutes) => {
      const cron = cronOf(text)
      const first = nextFiring(cron, timeZone, after) as number
      expect(first).toBeGreaterThan(after)
      const until = first + minutes * MINUTE_MS + 17
      let last = first
      for (let at: number | null = first; at !== null && at <= until; at = nextFiring(cron, timeZone, at)) last = at
      expect(lastFiring(cron, timeZone, first, until)).toBe(last)
    }),
    { numRuns: 200 },
  )
})

test('seconds: every firing of a minute is found, and the last of a day at once', () => {
  const cron = cronOf('*/7 * * * * *')
  const start = Date.parse('2026-10-24T23:59:59Z')
  const found: number[] = []
  for (
    let at = nextFiring(cron, 'Europe/Berlin', start);
    found.length < 9;
    at = nextFiring(cron, 'Europe/Berlin', at as number)
  )
    found.push(((at as number) - start - 1_000) / 1_000)
  expect(found).toEqual([0, 7, 14, 21, 28, 35, 42, 49, 56])
  expect(lastFiring(cron, 'Europe/Berlin', start + 1_000, start + 86_400_000)).toBe(start + 86_400_000 - 3_000)
})

test('a rare day is found beyond many changes of the clocks', () => {
  expect(firings('30 2 29 2 *', 'Europe/Berlin', '2028-03-01T00:00Z', '2036-12-31T00:00Z')).toEqual([
    '02-29T01:30',
    '02-29T01:30',
  ])
})

test('time zones are those of the runtime', () => {
  expect(['UTC', 'Europe/Berlin', 'Australia/Lord_Howe'].map(isTimeZone)).toEqual([true, true, true])
  expect(['', 'Berlin', 'Europe/Atlantis', 'local'].map(isTimeZone)).toEqual([false, false, false, false])
})
