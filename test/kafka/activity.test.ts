import { expect, test } from 'vitest'
import { Activity } from '../../src/kafka/activity.ts'

/** Runs `work` for about so many ms of the clock that `Activity` reads. */
function spend(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('work on several lanes at once counts once, and holding back only while nothing is worked on', () => {
  const activity = new Activity()
  const begun = performance.now()
  const [one, two] = [activity.begin(), activity.begin()]
  const held = activity.hold()
  spend(20)
  one()
  two()
  two()
  spend(10)
  held()
  spend(10)
  const { busyShare, backPressuredShare } = activity.report(begun + 40)
  // The process may be held up anywhere, which makes each part longer, but none shorter.
  expect(busyShare).toBeGreaterThan(0.49)
  expect(backPressuredShare).toBeGreaterThan(0.24)
  const idle = activity.report()
  expect([idle.busyShare, idle.backPressuredShare]).toEqual([0, 0])
})

test('shares of work that is not over are reported as it goes on', () => {
  const activity = new Activity()
  const end = activity.begin()
  // From here on all is work, wherever the process is held up.
  activity.report()
  spend(5)
  expect(activity.report().busyShare).toBeGreaterThan(0.9)
  spend(5)
  expect(activity.report().busyShare).toBeGreaterThan(0.9)
  end()
})

test('a report tells the rate, the quantile and the jobs since the last one', () => {
  const activity = new Activity(0)
  for (let ms = 1; ms <= 100; ms++) activity.chunk(ms % 2 ? 'a' : 'b', 10, ms)
  expect(activity.report(2_000)).toMatchObject({ rowsPerSecond: 500, chunkP95Ms: 95, jobs: ['a', 'b'] })
  expect(activity.report(4_000)).toMatchObject({ rowsPerSecond: 0, chunkP95Ms: null, jobs: [] })
})

test('of many chunks the last thousand make the quantile', () => {
  const activity = new Activity(0)
  for (let i = 0; i < 3_000; i++) activity.chunk('a', 1, 900)
  for (let i = 0; i < 1_024; i++) activity.chunk('a', 1, 5)
  expect(activity.report(1_000).chunkP95Ms).toBe(5)
})
