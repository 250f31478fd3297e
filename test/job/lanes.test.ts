// Which lanes a job gets: the least loaded ones.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseLanes, laneCount } from '../../src/job/lanes.ts'
import { isTerminal, JOB_STATUSES } from '../../topics/jobs.ts'
import { PLAN, running } from './snapshots.ts'

const TOTAL = 8

const anyJob = fc
  .record({
    status: fc.constantFrom(...JOB_STATUSES),
    lanes: fc.uniqueArray(fc.integer({ min: 0, max: TOTAL - 1 })),
  })
  .map((fields) => running(fields))

test('no lane that is left out is less loaded than one that is chosen', () => {
  fc.assert(
    fc.property(fc.array(anyJob, { maxLength: 12 }), fc.integer({ min: 1, max: TOTAL }), (jobs, count) => {
      const load = (lane: number): number =>
        jobs.filter((job) => !isTerminal(job.status) && job.lanes.includes(lane)).length
      const lanes = chooseLanes(jobs, TOTAL, count)
      expect(new Set(lanes).size).toBe(count)
      expect(lanes).toEqual(lanes.toSorted((a, b) => a - b))
      const others = Array.from({ length: TOTAL }, (_, lane) => lane).filter((lane) => !lanes.includes(lane))
      for (const lane of lanes) {
        expect(lane >= 0 && lane < TOTAL).toBe(true)
        for (const other of others) {
          expect(load(lane)).toBeLessThanOrEqual(load(other))
          if (load(lane) === load(other)) expect(lane).toBeLessThan(other)
        }
      }
    }),
  )
})

test('jobs that come one after another spread over all lanes', () => {
  const jobs = [running({ lanes: [] })]
  for (let i = 0; i < 4; i++) jobs.push(running({ lanes: chooseLanes(jobs, TOTAL, 2) }))
  expect(jobs.flatMap(({ lanes }) => lanes).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
})

test('a finished job does not weigh on its lanes, also before they are cleaned', () => {
  const over = (['completed', 'failed', 'cancelled'] as const).map((status) => running({ status, lanes: [0, 1] }))
  expect(chooseLanes(over, 4, 2)).toEqual([0, 1])
  expect(chooseLanes([...over, running({ status: 'preparing', lanes: [0] })], 4, 2)).toEqual([1, 2])
})

test('of more lanes than there are, all', () => {
  expect(chooseLanes([], 3, 16)).toEqual([0, 1, 2])
})

test.each([
  ['as many as it has chunks', { total_rows: 250n }, 3],
  ['one, if it has no rows', { total_rows: 0n }, 1],
  ['at most its parallelism', { total_rows: 100_000n }, 4],
  ['its parallelism, when its rows are estimated', { total_rows: 10n, rows_estimated: true }, 4],
])('a job gets %s', (_, plan, lanes) => {
  const { config } = running()
  expect(laneCount({ plan: { ...PLAN, ...plan }, config: { ...config, batch_size: 100, parallelism: 4 } })).toBe(lanes)
})
