// What the ledger says about a job: totals, delivery, percentage, rate and ETA.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NO_ROWS } from '../../src/job/machine.ts'
import { delivery, estimatedCompletion, percentage, RateWindow, stageError, totals } from '../../src/job/progress.ts'
import { JOB_STATUSES } from '../../topics/jobs.ts'
import { type ProgressEntry, STAGES } from '../../topics/progress.ts'
import { entry, PLAN, running, submitted, twoOutputs } from './snapshots.ts'

const anyEntry: fc.Arbitrary<ProgressEntry> = fc
  .record({
    stage: fc.constantFrom(...STAGES),
    output: fc.constantFrom(0, 1),
    lane: fc.integer({ min: -1, max: 2 }),
    attempt: fc.integer({ min: 1, max: 3 }),
    rows: fc.bigInt({ min: 0n, max: 1n << 62n }),
    failed_rows: fc.bigInt({ min: 0n, max: 9n }),
    done: fc.boolean(),
  })
  .map((fields) => entry(fields))

const sum = (entries: readonly ProgressEntry[], field: 'rows' | 'failed_rows'): bigint =>
  entries.reduce((total, each) => total + each[field], 0n)

describe('totals', () => {
  test('are the sums of each stage of the current attempt, in any order of the entries', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (entries, attempt) => {
        const job = twoOutputs(running({ attempt }))
        const of = (stage: ProgressEntry['stage']) =>
          entries.filter((each) => each.attempt === attempt && each.stage === stage)
        const scorers = sum(of('score'), 'failed_rows')
        const sinks = [0, 1].map((output) => of('sink').filter((each) => each.output === output))
        const written = sinks.map((each) => sum(each, 'rows'))
        const failed = [scorers, ...sinks.map((each) => sum(each, 'failed_rows'))]
        const expected = {
          read_rows: sum(of('read'), 'rows'),
          processed_rows: [sum(of('score'), 'rows'), ...written.map((rows, i) => rows + (failed[i + 1] ?? 0n))].reduce(
            (a, b) => (a > b ? a : b),
          ),
          written_rows: written.reduce((a, b) => (a < b ? a : b)),
          failed_rows: failed.reduce((a, b) => (a > b ? a : b)),
          output_rows: written,
        }
        expect(totals(job, entries)).toEqual(expected)
        expect(totals(job, entries.toReversed())).toEqual(expected)
      }),
    )
  })

  test('of no entries are zero', () => {
    expect(totals(running(), [])).toEqual({ ...NO_ROWS, output_rows: [0n] })
  })
})

describe('delivery', () => {
  const read = entry({ stage: 'read', lane: -1, rows: 30n, done: true })
  const sinks = [
    entry({ stage: 'sink', lane: 0, rows: 10n, failed_rows: 1n, done: true }),
    entry({ stage: 'sink', lane: 1, rows: 17n, failed_rows: 2n, done: true }),
  ]

  test('is there when the reader and every lane of the sink are done', () => {
    expect(delivery(running(), [read, ...sinks])).toEqual({ read: 30n, outputs: [{ written: 27n, failed: 3n }] })
  })

  test.each([
    ['the reader is missing', sinks],
    ['the reader is not done', [{ ...read, done: false }, ...sinks]],
    ['a lane is missing', [read, sinks[0] as ProgressEntry]],
    ['a lane is not done', [read, sinks[0] as ProgressEntry, { ...(sinks[1] as ProgressEntry), done: false }]],
    ['a lane is done with another attempt', [read, ...sinks].map((each) => ({ ...each, attempt: 2 }))],
    ['the scorers are done, not the sinks', [read, ...sinks.map((each) => ({ ...each, stage: 'score' as const }))]],
  ])('is not there when %s', (_, entries) => {
    expect(delivery(running(), entries)).toBeNull()
  })

  test('waits for every output, each with counts of its own', () => {
    const job = twoOutputs(running())
    expect(delivery(job, [read, ...sinks])).toBeNull()
    const second = sinks.map((each) => ({ ...each, output: 1, rows: 9n, failed_rows: 0n }))
    expect(delivery(job, [read, ...sinks, second[0] as ProgressEntry])).toBeNull()
    expect(delivery(job, [read, ...sinks, ...second])).toEqual({
      read: 30n,
      outputs: [
        { written: 27n, failed: 3n },
        { written: 18n, failed: 0n },
      ],
    })
  })

  test('a job without lanes is never delivered', () => {
    expect(delivery(running({ lanes: [] }), [read])).toBeNull()
  })
})

test('the first failure of the current attempt counts, of others none', () => {
  const error = { code: 'query_failed', message: 'division by zero', retriable: false }
  const old = entry({ stage: 'read', lane: -1, attempt: 1, error })
  expect(stageError(running({ attempt: 2 }), [old])).toBeNull()
  expect(stageError(running(), [entry({ stage: 'score', lane: 0 }), old])).toEqual(error)
})

describe('percentage', () => {
  test('is whole, grows with the rows, and is 100 only for a completed job', () => {
    const rows = fc.bigInt({ min: 0n, max: 2_000n })
    fc.assert(
      fc.property(fc.constantFrom(...JOB_STATUSES), rows, rows, (status, a, b) => {
        const [less, more] = a < b ? [a, b] : [b, a]
        const before = percentage(running({ status, processed_rows: less }))
        const after = percentage(running({ status, processed_rows: more }))
        expect(Number.isInteger(before)).toBe(true)
        expect(before).toBeGreaterThanOrEqual(0)
        expect(after).toBeGreaterThanOrEqual(before)
        expect(after === 100).toBe(status === 'completed')
      }),
    )
  })

  test.each([
    [0n, 0],
    [9n, 0],
    [650n, 65],
    [999n, 99],
    [1_000n, 99],
    [1_500n, 99],
  ])('%d of 1000 rows of a running job are %d %%', (processed_rows, percent) => {
    expect(percentage(running({ processed_rows }))).toBe(percent)
  })

  test('an empty job is at 0 until it is completed', () => {
    const plan = { ...PLAN, total_rows: 0n }
    expect(percentage(running({ plan }))).toBe(0)
    expect(percentage(running({ plan, status: 'completed' }))).toBe(100)
    expect(percentage(submitted())).toBe(0)
  })
})

describe('RateWindow', () => {
  test('of a steady counter the rate is exact, however often it is sampled', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 2_500 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 1_000_000 }), (samples, perMs) => {
        const rate = new RateWindow()
        let at = 0
        rate.add(at, 0)
        for (const gap of samples) {
          at += gap
          rate.add(at, at * perMs)
        }
        expect(rate.perSecond(at)).toBeCloseTo(perMs * 1000, 3)
      }),
    )
  })

  test('forgets what is older than the window', () => {
    const rate = new RateWindow(1_000)
    for (const [at, rows] of [
      [0, 0],
      [1_000, 100_000],
      [2_000, 100_010],
      [3_000, 100_020],
    ] as const)
      rate.add(at, rows)
    expect(rate.perSecond(3_000)).toBe(10)
  })

  test('goes down while the counter stands still', () => {
    const rate = new RateWindow(1_000)
    rate.add(0, 0)
    rate.add(500, 500)
    expect(rate.perSecond(500)).toBe(1_000)
    expect(rate.perSecond(1_500)).toBe(1_000)
    expect(rate.perSecond(2_000)).toBe(500)
    expect(rate.perSecond(6_000)).toBe(100)
  })

  test('starts again when the counter goes back: a new attempt', () => {
    const rate = new RateWindow()
    rate.add(0, 0)
    rate.add(1_000, 5_000)
    rate.add(1_500, 10)
    expect(rate.perSecond(1_500)).toBe(0)
    rate.add(2_500, 30)
    expect(rate.perSecond(2_500)).toBe(20)
  })

  test('is zero before two samples are apart', () => {
    const rate = new RateWindow()
    expect(rate.perSecond(0)).toBe(0)
    rate.add(0, 5)
    rate.add(0, 9)
    expect(rate.perSecond(0)).toBe(0)
  })
})

describe('estimatedCompletion', () => {
  test('is what is left at this rate', () => {
    expect(estimatedCompletion(running({ processed_rows: 400n }), 200, 60_000, 10_000)).toBe(13_000)
  })

  test('is now when an estimated total was passed', () => {
    expect(estimatedCompletion(running({ processed_rows: 1_400n }), 200, 60_000, 10_000)).toBe(10_000)
  })

  test('is what the whole job should take before its first chunk', () => {
    expect(estimatedCompletion(running({ started_at: 2_000n }), 0, 9_000, 10_000)).toBe(11_000)
  })

  test('cannot be said before a job starts, when it takes longer than it should, stands still, or after its end', () => {
    expect(estimatedCompletion(submitted({ plan: PLAN }), 200, 60_000, 10_000)).toBeNull()
    expect(estimatedCompletion(running({ started_at: 2_000n }), 0, 8_000, 10_000)).toBeNull()
    expect(estimatedCompletion(running({ processed_rows: 1n }), 0, 60_000, 10_000)).toBeNull()
    for (const status of ['completed', 'failed', 'cancelled'] as const)
      expect(estimatedCompletion(running({ status }), 200, 60_000, 10_000)).toBeNull()
  })
})
