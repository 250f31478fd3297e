// The contract of zombies: two writers of a lane, and the writers of an attempt that a higher one has replaced. Whatever they do,
// every row is in the result once.
import { expect, test } from 'vitest'
import type { LaneWriter } from '../../../connectors/connector.ts'
import { chunk, chunkCount, chunks, nextAttempt, plannedJob, rowsOf, totalRows, visibleRows } from './rows.ts'
import { PASSING, PERMANENT, patiently, rejection, runJob, writeLane } from './run.ts'
import type { SinkWorld } from './world.ts'

export function rivalContract(world: SinkWorld): void {
  test('of two writers one after the other the older one is a zombie: it is told so, or does no harm', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4, 5] })
    const sink = world.openSink()
    await sink.prepare(job)
    const zombie = await sink.openLane(job, 0)
    await zombie.write([chunk(job, 0, 0)])
    const owner = await world.openSink().openLane(job, 0)
    await owner.write(chunks(job, 0, owner.position.chunks, 3))
    const alive = await harmless(zombie.write([chunk(job, 0, 1)]))
    await patiently(() => writeLane(world.openSink(), job, 0))
    if (alive) await harmless(zombie.write([chunk(job, 0, 2)]))
    await zombie.close()
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })

  test('writers that do the whole lane at the same time double nothing', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4, 5, 6], 7: [1, 1, 1] })
    await world.openSink().prepare(job)
    const whole = (lane: number) => patiently(() => writeLane(world.openSink(), job, lane))
    // A rival that is told that the lane is taken opens it again, and so on, until the lane is done.
    await Promise.all([whole(0), whole(7), whole(0), whole(7), whole(0)])
    await world.openSink().finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })

  test('a zombie that would write something else than the owner did is told that the lane is taken', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4, 5] })
    const other = { ...job, plan: { 0: [1, 1, 1, 1] } }
    await world.openSink().prepare(job)
    const zombie = await world.openSink().openLane(job, 0)
    await writeLane(world.openSink(), job, 0)
    const told = await rejection(writeOn(zombie, chunkCount(job, 0), (seq) => chunk(other, 0, seq)))
    expect(told).toMatchObject({ ...PASSING, code: 'lane_taken' })
    // And stays told, until it opens the lane again.
    expect(await rejection(zombie.end())).toMatchObject({ code: 'lane_taken' })
    await zombie.close()
    await world.openSink().finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  if (world.visibility === 'whole') {
    test('what a lower attempt wrote, writes and finalises is not in the result of a higher one', async () => {
      const first = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4], 1: [5] })
      const second = nextAttempt(first)
      const controller = world.openSink()
      await controller.prepare(first)
      const zombies = await Promise.all(first.lanes.map((lane) => world.openSink().openLane(first, lane)))
      const [zombie, ended] = zombies as [LaneWriter, LaneWriter]
      await zombie.write([chunk(first, 0, 0)])
      await ended.write([chunk(first, 1, 0)])
      await ended.end()
      await controller.prepare(second)
      await zombie.write([chunk(first, 0, 1)])

      await controller.discard(first)
      await refused(zombie.write([chunk(first, 0, 2)]))
      await refused(world.openSink().openLane(first, 0))
      await refused(world.openSink().finalise(first, totalRows(first)))
      await runJob(world.openSink(), second)
      await refused(zombie.end())
      expect(await rejection(world.openSink().openLane(first, 0))).toMatchObject(PERMANENT)
      await Promise.all(zombies.map((writer) => writer.close()))
      expect(await visibleRows(world, first.output)).toEqual(rowsOf(second))
      expect(await world.leftovers(second)).toEqual([])
    })
  } else {
    test('an attempt before which nothing was written may begin again; once rows are out, a higher one is refused', async () => {
      const first = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4], 1: [5] })
      const [second, third] = [nextAttempt(first), nextAttempt(nextAttempt(first))]
      const sink = world.openSink()
      await sink.prepare(first)
      const zombie = await sink.openLane(first, 0)
      await sink.discard(first)
      await sink.prepare(second)
      const writer = await sink.openLane(second, 0)
      await writer.write([chunk(second, 0, 0)])
      await refused(zombie.write([chunk(first, 0, 0)]))
      const out = await visibleRows(world, first.output)

      await sink.discard(second)
      expect(await rejection(sink.prepare(third))).toMatchObject({ ...PERMANENT, code: 'already_published' })
      expect(await visibleRows(world, first.output)).toEqual(out)
      await Promise.all([zombie.close(), writer.close()])
    })
  }

  test('a writer whose attempt was discarded cannot bring it back', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4] })
    const sink = world.openSink()
    await sink.prepare(job)
    const writer = await world.openSink().openLane(job, 0)
    const out = world.visibility === 'whole' ? null : await visibleRows(world, job.output)
    await sink.discard(job)
    await refused(writeOn(writer, 3, (seq) => chunk(job, 0, seq)))
    await refused(writer.end())
    await writer.close()
    expect(await visibleRows(world, job.output)).toEqual(out)
    expect(await world.leftovers(job)).toEqual([])
  })
}

/** Writes chunk by chunk up to `count`, then the end, wherever the writer believes to be. */
async function writeOn(
  writer: LaneWriter,
  count: number,
  chunkAt: (seq: number) => ReturnType<typeof chunk>,
): Promise<void> {
  for (let seq = writer.position.chunks; seq < count; seq++) await writer.write([chunkAt(seq)])
  await writer.end()
}

/** It may go through, for it writes what is there already; or the writer is told that the lane is another's. Whether it went through. */
async function harmless(write: Promise<unknown>): Promise<boolean> {
  return write.then(
    () => true,
    (error: unknown) => {
      expect(error).toMatchObject({ ...PASSING, code: 'lane_taken' })
      return false
    },
  )
}

/** An attempt that is gone: whoever still works for it must hear of it, by whichever error. */
async function refused(work: Promise<unknown>): Promise<void> {
  expect(await rejection(work)).toMatchObject({ name: 'ConnectorError' })
}
