// What the comparison makes of its runs: medians, and ours beside each peer and each limit.
import { expect, test } from 'vitest'
import { type MeasuredLimits, middle, type Run, summarise } from '../../bench/peers/summary.ts'

const run = (who: string, seconds: number, more: Partial<Run> = {}): Run => ({
  who,
  scorers: null,
  workload: 'gbm',
  destination: 'parquet',
  rows: 1000,
  scoredRows: 1000,
  seconds,
  startupSeconds: who === 'scoreline' ? null : seconds / 10,
  cpu: { [who]: seconds, postgres: 1 },
  peakMegabytes: { [who]: 100 * seconds },
  ...more,
})

const limits: MeasuredLimits = {
  workload: 'gbm',
  destination: 'parquet',
  rows: 1000,
  copyOut: 4000,
  scoring: 500,
  scoringTwice: 1000,
  encoder: 10_000,
}

test('an odd number of runs has a middle one, an even number the mean of two', () => {
  expect(middle([3, 1, 2])).toBe(2)
  expect(middle([4, 1, 2, 3])).toBe(2.5)
  expect(middle([7])).toBe(7)
})

test('each participant has the medians of its own runs, whatever the order', () => {
  const runs = [run('scoreline', 2), run('script', 10), run('scoreline', 4), run('script', 5), run('scoreline', 1)]
  const [ours, script] = summarise([...runs, run('script', 8)], [])
  expect(ours).toMatchObject({ who: 'scoreline', runs: 3, seconds: 2, rowsPerSecond: 500, range: [250, 1000] })
  expect(ours).toMatchObject({
    cpu: { scoreline: 2, postgres: 1 },
    peakMegabytes: { scoreline: 200 },
    startupSeconds: null,
  })
  expect(script).toMatchObject({ who: 'script', seconds: 8, rowsPerSecond: 125, startupSeconds: 0.8, ratio: 4 })
})

test('a peer that was given fewer rows is compared by its rate', () => {
  const [, ray] = summarise([run('scoreline', 2), run('ray', 5, { scoredRows: 100 })], [])
  expect(ray).toMatchObject({ rowsPerSecond: 20, ratio: 25 })
})

test('only the same workload, rows and destination are compared', () => {
  const [, table, more, forest] = summarise(
    [
      run('scoreline', 2),
      run('script', 4, { destination: 'table' }),
      run('script', 4, { rows: 2000, scoredRows: 2000 }),
      run('script', 4, { workload: 'forest' }),
    ],
    [limits],
  )
  expect([table?.ratio, more?.ratio, forest?.ratio]).toEqual([null, null, null])
})

test('ours is beside the limits; a peer is not', () => {
  const [ours, script] = summarise([run('scoreline', 2), run('script', 1)], [limits])
  expect(ours?.ofLimits).toEqual({ copyOut: 0.125, scoring: 1, scoringTwice: 0.5, encoder: 0.05 })
  expect(script?.ofLimits).toBeNull()
})

test('numbers of scorers are kept apart', () => {
  const [one, two] = summarise([run('scoreline', 2, { scorers: 1 }), run('scoreline', 1, { scorers: 2 })], [limits])
  expect([one?.rowsPerSecond, two?.rowsPerSecond]).toEqual([500, 1000])
  expect(two?.ofLimits?.scoring).toBe(2)
})
