// The contract of expiry: when a result's time is up the files of its job go; what is a user's, or another job's, is never touched.
import { expect, test } from 'vitest'
import { type PlannedJob, plannedJob, rowsOf, visibleRows } from './rows.ts'
import { patiently, runJob, writeLane } from './run.ts'
import type { SinkWorld } from './world.ts'

export function expiryContract(world: SinkWorld): void {
  /** What is to be read once these jobs of one place are left. */
  const left = (...jobs: PlannedJob[]) => (jobs.length ? rowsOf(...jobs) : null)

  test('a result whose time is up: the files of its job go and no others, a table or topic is not touched; twice is once', async () => {
    const output = world.freshOutput('append')
    const [first, second, running] = [1, 2, 3].map(() => plannedJob(world, output, { 0: [2, 3], 1: [4] }))
    if (!first || !second || !running) throw new TypeError('three jobs')
    for (const job of [first, second]) await runJob(world.openSink(), job)
    await world.openSink().prepare(running)
    await writeLane(world.openSink(), running, 0)
    const before = await visibleRows(world, output)
    for (const [job, rest] of [
      [first, [second]],
      [second, []],
    ] as const)
      for (let i = 0; i < 2; i++) {
        await world.openSink().expire(job)
        expect(await visibleRows(world, output)).toEqual(world.expires === 'files' ? left(...rest) : before)
      }
    // Nor does it harm a job that is at work there.
    await runJob(world.openSink(), running)
    const all = world.expires === 'files' ? [running] : [first, second, running]
    expect(await visibleRows(world, output)).toEqual(rowsOf(...all))
    for (const job of all) expect(await world.leftovers(job)).toEqual([])
  })

  test('the time of a job that has no result is up: nothing is touched, at the same time neither', async () => {
    const output = world.freshOutput('append')
    const [there, never] = [plannedJob(world, output, { 0: [2, 3] }), plannedJob(world, output, { 0: [1] })]
    await runJob(world.openSink(), there)
    await Promise.all([world.openSink(), world.openSink()].map((sink) => patiently(() => sink.expire(never))))
    expect(await visibleRows(world, output)).toEqual(rowsOf(there))
    await Promise.all([world.openSink(), world.openSink()].map((sink) => patiently(() => sink.expire(there))))
    expect(await visibleRows(world, output)).toEqual(world.expires === 'files' ? null : rowsOf(there))
    for (const job of [there, never]) expect(await world.leftovers(job)).toEqual([])
  })
}
