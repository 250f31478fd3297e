// The life of a schedule: what a submission makes of it, what changes do, and what the clock does under each policy.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { changed, fired, newSchedule, parseChange, upcoming } from '../../src/job/schedule.ts'
import type { ScheduleChange } from '../../src/job/schedule-spec.ts'
import { parseJob } from '../../src/job/spec.ts'
import { OVERLAP_POLICIES, type OverlapPolicy, type Schedule } from '../../topics/schedules.ts'

const DEFAULTS = { parallelism: 4 }
const JOB = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT * FROM customers' },
  output: { destination: 'table', table_name: 'predictions.churn_scores' },
}
const CREATED = Date.parse('2026-03-28T12:00:00Z')
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** An hourly schedule; the first firing is at 13:00. */
function hourly(overlap: OverlapPolicy = 'skip', parts: Partial<Schedule> = {}): Schedule {
  const schedule = { cron: '0 * * * *', overlap, catchup_minutes: 90 }
  return { ...newSchedule('schedule-1', 'acme', { ...JOB, schedule }, CREATED), ...parts }
}

/** 28 March 2026 at an hour (and minutes), in ms since 1970. */
function at(hour: number, minute = 0): number {
  return CREATED + (hour - 12) * HOUR_MS + minute * MINUTE_MS
}

function big(ms: number): bigint {
  return BigInt(ms)
}

describe('a submission', () => {
  test('has defaults, and keeps the job without the schedule', () => {
    const body = { ...JOB, schedule: { cron: '30 2 * * *' } }
    expect('spec' in parseJob(body, DEFAULTS)).toBe(true)
    const schedule = newSchedule('schedule-1', 'acme', body, CREATED)
    expect(schedule).toMatchObject({
      timezone: 'UTC',
      enabled: true,
      overlap: 'skip',
      catchup_minutes: 60,
      created_at: big(CREATED),
      next_fire_at: big(Date.parse('2026-03-29T02:30:00Z')),
      last_fired_at: null,
    })
    expect(JSON.parse(schedule.job)).toEqual(JOB)
  })

  test('fires by its own clock, and not at all while it is not enabled', () => {
    const times = { cron: '30 2 * * *', timezone: 'Europe/Berlin' }
    const schedule = newSchedule('schedule-1', 'acme', { ...JOB, schedule: times }, CREATED)
    // The clocks skip half past two on the 29th.
    expect(upcoming(schedule, 2).map((ms) => new Date(ms).toISOString())).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ])
    const paused = newSchedule('schedule-1', 'acme', { ...JOB, schedule: { ...times, enabled: false } }, CREATED)
    expect([paused.next_fire_at, upcoming(paused, 3)]).toEqual([null, []])
    expect(fired(paused, false, at(99))).toEqual({ schedule: paused, firings: [] })
  })

  test.each([
    [{}, '/schedule/cron', 'cron is missing'],
    [{ cron: '60 * * * *' }, '/schedule/cron', 'expected 0-59 for the minute'],
    [
      { cron: '0 2 * * *', timezone: 'Berlin' },
      '/schedule/timezone',
      'expected an IANA time zone such as Europe/Berlin',
    ],
    [
      { cron: '0 2 * * *', overlap: 'queue' },
      '/schedule/overlap',
      'expected one of skip, buffer_one, allow; got "queue"',
    ],
    [{ cron: '0 2 * * *', catchup_minutes: 0 }, '/schedule/catchup_minutes', 'got 0'],
    [{ cron: '0 2 * * *', enabled: 'yes' }, '/schedule/enabled', 'got "yes"'],
    [{ cron: '0 2 * * *', zone: 'UTC' }, '/schedule/zone', 'zone is no field'],
    [null, '/schedule', 'got null'],
  ])('with the schedule %j is refused', (schedule, pointer, detail) => {
    const parsed = parseJob({ ...JOB, schedule }, DEFAULTS)
    expect('problems' in parsed && parsed.problems).toEqual([
      expect.objectContaining({ pointer, detail: expect.stringContaining(detail) }),
    ])
  })
})

describe('the clock', () => {
  test('before the time nothing happens, at the time one job begins', () => {
    const schedule = hourly()
    expect(fired(schedule, false, at(12, 59))).toEqual({ schedule, firings: [] })
    const { schedule: after, firings } = fired(schedule, false, at(13))
    expect([firings, after.next_fire_at]).toEqual([[big(at(13))], big(at(14))])
    expect(fired(after, false, at(13))).toEqual({ schedule: after, firings: [] })
  })

  test('of the firings that were missed only the last is made, if it is young enough', () => {
    const late = fired(hourly(), false, at(17, 45))
    expect([late.firings, late.schedule.next_fire_at]).toEqual([[big(at(17))], big(at(18))])
    const tooLate = fired(hourly('skip', { catchup_minutes: 44 }), false, at(17, 45))
    expect(tooLate.firings).toEqual([])
    expect(tooLate.schedule).toMatchObject({
      next_fire_at: big(at(18)),
      last_skipped: { fire_at: big(at(17)), reason: 'missed' },
    })
    expect(fired(hourly('skip', { catchup_minutes: 45 }), false, at(17, 45)).firings).toEqual([big(at(17))])
  })

  test('a clock that is behind that of the controller before makes no firing again', () => {
    const { schedule } = fired(hourly(), false, at(13, 1))
    expect(fired(schedule, false, at(12, 30)).firings).toEqual([])
    expect(fired(schedule, false, at(13)).firings).toEqual([])
  })

  test('skip: a firing beside an unfinished job is left out, and the schedule says so', () => {
    const { schedule, firings } = fired(hourly('skip'), true, at(13))
    expect(firings).toEqual([])
    expect(schedule).toMatchObject({
      next_fire_at: big(at(14)),
      waiting_fire_at: null,
      last_skipped: { fire_at: big(at(13)), reason: 'overlap' },
    })
  })

  test('allow: it is made', () => {
    const { schedule, firings } = fired(hourly('allow'), true, at(13))
    expect([firings, schedule.last_skipped]).toEqual([[big(at(13))], null])
  })

  test('buffer_one: one waits for the end, further ones are left out', () => {
    const first = fired(hourly('buffer_one'), true, at(13))
    expect([first.firings, first.schedule.waiting_fire_at]).toEqual([[], big(at(13))])
    const second = fired(first.schedule, true, at(14))
    expect(second.firings).toEqual([])
    expect(second.schedule).toMatchObject({
      waiting_fire_at: big(at(13)),
      last_skipped: { fire_at: big(at(14)), reason: 'overlap' },
    })
    const released = fired(second.schedule, false, at(14, 20))
    expect([released.firings, released.schedule.waiting_fire_at]).toEqual([[big(at(13))], null])
  })

  test('buffer_one: what waits goes first, what is due at the same moment waits for it', () => {
    const { schedule, firings } = fired(hourly('buffer_one', { waiting_fire_at: big(at(12)) }), false, at(13))
    expect([firings, schedule.waiting_fire_at]).toEqual([[big(at(12))], big(at(13))])
  })

  test('whenever and however often it is looked at, no firing is made twice and none is out of order', () => {
    const looks = fc.array(fc.record({ minutes: fc.integer({ min: -30, max: 200 }), busy: fc.boolean() }), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(fc.constantFrom(...OVERLAP_POLICIES), looks, (overlap, moments) => {
        let schedule = hourly(overlap)
        let now = CREATED
        const made: bigint[] = []
        for (const { minutes, busy } of moments) {
          now += minutes * MINUTE_MS
          const result = fired(schedule, busy, now)
          if (busy && overlap !== 'allow') expect(result.firings).toEqual([])
          schedule = result.schedule
          made.push(...result.firings)
        }
        expect(made).toEqual([...new Set(made)].sort((a, b) => Number(a - b)))
        for (const each of made) expect(Number(each) % HOUR_MS).toBe(0)
      }),
    )
  })

  test('looked at every second, an allowed schedule makes every firing', () => {
    const schedule = { cron: '*/7 * * * * *', overlap: 'allow' }
    let state = newSchedule('schedule-1', 'acme', { ...JOB, schedule }, CREATED)
    const made: number[] = []
    for (let now = CREATED + 400; now < CREATED + 10 * MINUTE_MS; now += 1_000) {
      const result = fired(state, true, now)
      state = result.schedule
      made.push(...result.firings.map((each) => (Number(each) - CREATED) / 1_000))
    }
    const everySeventh = Array.from({ length: 10 }, (_, minute) =>
      [0, 7, 14, 21, 28, 35, 42, 49, 56].map((s) => minute * 60 + s),
    )
    expect(made).toEqual(everySeventh.flat().slice(1))
  })
})

describe('changes', () => {
  test('a pause stops it and drops what waits; afterwards it fires from then on', () => {
    const paused = changed(hourly('buffer_one', { waiting_fire_at: big(at(12)) }), { enabled: false }, at(12, 30))
    expect(paused).toMatchObject({ enabled: false, next_fire_at: null, waiting_fire_at: null })
    expect(fired(paused, false, at(20)).firings).toEqual([])
    const on = changed(paused, { enabled: true }, at(20, 10))
    expect(on.next_fire_at).toBe(big(at(21)))
    expect(fired(on, false, at(20, 10)).firings).toEqual([])
  })

  test('other times count from the change; other settings leave the next firing as it is, also one that is due', () => {
    const schedule = hourly()
    expect(changed(schedule, { cron: '30 * * * *' }, at(12, 40)).next_fire_at).toBe(big(at(13, 30)))
    expect(changed(schedule, { timezone: 'Asia/Kolkata' }, at(12, 10)).next_fire_at).toBe(big(at(12, 30)))
    const due = changed(schedule, { overlap: 'allow', catchup_minutes: 5, enabled: true, cron: '0 * * * *' }, at(13, 1))
    expect(due).toMatchObject({ next_fire_at: big(at(13)), overlap: 'allow', catchup_minutes: 5 })
  })

  test('another job is for the next firing', () => {
    const job = { ...JOB, model_id: 'churn@2' }
    expect(JSON.parse(changed(hourly(), { job }, at(12, 1)).job)).toEqual(job)
  })

  test.each<[unknown, string, string]>([
    [{}, '', 'got {}'],
    [null, '', 'got null'],
    [[], '', 'got []'],
    [{ cron: 'daily' }, '/cron', 'such as 0 2 * * *; got daily'],
    [{ timezone: 'Mars/Olympus' }, '/timezone', 'IANA'],
    [{ tenant_id: 'other' }, '/tenant_id', 'tenant_id is no field'],
    [{ next_fire_at: 5 }, '/next_fire_at', 'next_fire_at is no field'],
    [{ job: { ...JOB, model_id: 'churn@new' } }, '/job/model_id', 'expected id or id@version'],
    [{ job: { ...JOB, output: undefined } }, '/job/output', 'output is missing'],
    [{ job: { ...JOB, schedule: { cron: '0 2 * * *' } } }, '/job/schedule', 'schedule is no field'],
    [{ job: 'SELECT 1' }, '/job', 'got "SELECT 1"'],
  ])('%j is refused', (body, pointer, detail) => {
    const parsed = parseChange(body, DEFAULTS)
    expect('problems' in parsed && parsed.problems).toContainEqual(
      expect.objectContaining({ pointer, detail: expect.stringContaining(detail) }),
    )
  })

  test('any JSON is refused or can be carried out', () => {
    const almost = fc.record(
      {
        cron: fc.oneof(fc.constant('0 2 * * *'), fc.string()),
        timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'x'),
        enabled: fc.boolean(),
        overlap: fc.constantFrom(...OVERLAP_POLICIES),
        job: fc.oneof(fc.constant(JOB), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), almost), (body) => {
        const parsed = parseChange(body, DEFAULTS)
        if ('problems' in parsed) expect(parsed.problems.length).toBeGreaterThan(0)
        else
          expect(changed(hourly(), parsed.change as ScheduleChange, at(15))).toMatchObject({
            schedule_id: 'schedule-1',
          })
      }),
    )
  })
})
