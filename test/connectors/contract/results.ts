// The contract of a result: it is there when finalise has returned, as often as that is called; it is complete, or it is refused; and
// what was begun and is not wanted any more can be discarded at any time.
import { expect, test } from 'vitest'
import { type JobInput, WRITE_MODES } from '../../../topics/jobs.ts'
import {
  COLUMNS,
  chunk,
  chunks,
  type PlannedJob,
  plannedJob,
  rowsOf,
  rowsOfLane,
  totalRows,
  visibleRows,
} from './rows.ts'
import { PERMANENT, patiently, rejection, runJob, writeLane } from './run.ts'
import type { SinkWorld } from './world.ts'

const INPUT: JobInput = { source: 'sql', query: 'SELECT 1', connection: 'warehouse', key_column: null }

export function resultContract(world: SinkWorld): void {
  test('finalising again, by anybody and at the same time, answers the same and changes nothing; nor does a discard', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3], 5: [4] })
    const sink = world.openSink()
    await sink.prepare(job)
    for (const lane of job.lanes) await writeLane(sink, job, lane)
    const finalise = () => patiently(() => world.openSink().finalise(job, totalRows(job)))
    const [first, ...others] = await Promise.all([finalise(), finalise(), finalise()])
    expect(first?.rows).toBe(totalRows(job))
    for (const other of [...others, await finalise()]) expect(other).toEqual(first)
    await sink.discard(job)
    await world.openSink().discard(job)
    expect(await finalise()).toEqual(first)
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })

  test.each([
    ['whose lanes have no chunk', { 0: [], 1: [] }],
    ['whose rows all failed', { 0: [0, 0, 0], 1: [0] }],
  ])('a job %s has a result that can be read and is empty', async (_, plan) => {
    const job = plannedJob(world, world.freshOutput('append'), plan)
    expect(await runJob(world.openSink(), job)).toMatchObject({ rows: 0n })
    expect(await visibleRows(world, job.output)).toEqual([])
    expect(await world.leftovers(job)).toEqual([])
  })

  test('rows that are lost, and lanes that are not at their end, are not passed over', async () => {
    // Of one job the other lane has nothing yet, of the other a chunk.
    const [bare, begun] = [0, 1].map(() =>
      plannedJob(world, world.freshOutput('append'), { 0: [2, 3], 1: [4, 5] }),
    ) as [PlannedJob, PlannedJob]
    const sink = world.openSink()
    const lost = { ...PERMANENT, code: 'rows_lost' }
    const before: unknown[] = []
    for (const job of [bare, begun]) {
      await sink.prepare(job)
      await writeLane(sink, job, 0)
      before.push(await visibleRows(world, job.output))
    }
    const writer = await sink.openLane(begun, 1)
    await writer.write([chunk(begun, 1, 0)])
    await writer.close()
    // At the same time, because a sink may wait for a lane's end to be seen before it gives up.
    const early = [
      rejection(sink.finalise(bare, 5n)),
      ...[9n, totalRows(begun)].map((rows) => rejection(patiently(() => sink.finalise(begun, rows)))),
    ]
    for (const error of await Promise.all(early)) expect(error).toMatchObject(lost)
    for (const [i, job] of [bare, begun].entries()) {
      if (world.visibility === 'whole') expect(await visibleRows(world, job.output)).toEqual(before[i])
      await writeLane(sink, job, 1)
      for (const rows of [totalRows(job) - 1n, totalRows(job) + 1n, 0n])
        expect(await rejection(sink.finalise(job, rows))).toMatchObject(lost)
      if (world.visibility === 'whole') expect(await visibleRows(world, job.output)).toEqual(before[i])
      await sink.finalise(job, totalRows(job))
      expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    }
  })

  test('a job that is cancelled half-way leaves nothing behind, however often that is said', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4], 1: [5, 6], 2: [7] })
    const sink = world.openSink()
    await sink.discard(job)
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    const { chunks: durable } = await writer.write(chunks(job, 0, 0, 2))
    await writeLane(sink, job, 1)
    // A sink that has heard of it closes its writers; one that has crashed does not.
    await (await world.openSink().openLane(job, 2)).write([chunk(job, 2, 0)])
    await writer.close()
    await Promise.all([sink, world.openSink()].map((each) => patiently(() => each.discard(job))))
    await sink.discard(job)
    expect(await world.leftovers(job)).toEqual([])
    const seen = await visibleRows(world, job.output)
    if (world.visibility === 'whole') expect(seen).toBeNull()
    else {
      expect(seen).toEqual(expect.arrayContaining([...rowsOfLane(job, 0, durable), ...rowsOfLane(job, 1, 2)]))
      expect(new Set(seen).size).toBe(seen?.length)
    }
  })

  test('rows become visible when they should', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4] })
    const sink = world.openSink()
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    for (const next of chunks(job, 0, 0, 3)) {
      const { chunks: durable } = await writer.write([next])
      const seen = await visibleRows(world, job.output)
      if (world.visibility === 'whole') expect(seen).toBeNull()
      else expect(seen).toEqual(rowsOfLane(job, 0, durable))
    }
    await writer.end()
    await writer.close()
    if (world.visibility === 'whole') expect(await visibleRows(world, job.output)).toBeNull()
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test('jobs of one controller that append to one place at the same time lose nothing of each other', async () => {
    const output = world.freshOutput('append')
    const controller = world.openSink()
    const jobs = [1, 2, 3].map(() => plannedJob(world, output, { 0: [2, 3], 1: [4] }))
    await Promise.all(jobs.map((job) => patiently(() => runJob(controller, job))))
    expect(await visibleRows(world, output)).toEqual(rowsOf(...jobs))
    for (const job of jobs) expect(await world.leftovers(job)).toEqual([])
  })

  test('two outputs of one job that turn out to be one place are both there', async () => {
    const output = world.freshOutput('append')
    const [one, other] = [plannedJob(world, output, { 0: [2, 3] }), plannedJob(world, output, { 0: [1] })]
    const second = { ...other, jobId: one.jobId, resultId: `${one.jobId}.2`, plan: { 3: [4] }, lanes: [3] }
    for (const job of [one, second]) await runJob(world.openSink(), job)
    expect(await visibleRows(world, output)).toEqual(rowsOf(one, second))
  })

  modeContract(world)
}

function modeContract(world: SinkWorld): void {
  test('the modes that the destination does not have are refused before anything is made', async () => {
    for (const mode of WRITE_MODES) {
      const output = world.freshOutput(mode)
      const problems = await world.openSink().check(output, COLUMNS, INPUT)
      if (world.modes.includes(mode)) {
        expect(problems, mode).toEqual([])
        continue
      }
      expect(problems, mode).toMatchObject([{ code: 'mode_not_supported', pointer: '/output/mode' }])
      const job = plannedJob(world, output, { 0: [1] })
      expect(await rejection(world.openSink().prepare(job))).toMatchObject({ ...PERMANENT, code: 'mode_not_supported' })
      expect(await world.leftovers(job)).toEqual([])
    }
  })

  test('append keeps what is there', async () => {
    const output = world.freshOutput('append')
    const jobs = [1, 2, 3].map((n) => plannedJob(world, output, { 0: [n, 2], [n]: [3] }))
    for (const job of jobs) await runJob(world.openSink(), job)
    expect(await visibleRows(world, output)).toEqual(rowsOf(...jobs))
  })

  if (world.modes.includes('overwrite')) {
    test('overwrite: the old result can be read until the new one takes its place, whole; a cancelled one takes nothing', async () => {
      const output = world.freshOutput('overwrite')
      const [old, cancelled, next] = [1, 2, 3].map(() => plannedJob(world, output, { 0: [2, 3], 1: [4] }))
      if (!old || !cancelled || !next) throw new TypeError('three jobs')
      await runJob(world.openSink(), old)
      for (const job of [cancelled, next]) {
        const sink = world.openSink()
        await sink.prepare(job)
        for (const lane of job.lanes) await writeLane(sink, job, lane)
        expect(await visibleRows(world, output)).toEqual(rowsOf(old))
        if (job === cancelled) await sink.discard(job)
        else await sink.finalise(job, totalRows(job))
      }
      expect(await visibleRows(world, output)).toEqual(rowsOf(next))
      // Nor does the old one come back when its controller repeats itself.
      await world.openSink().discard(old)
      await world.openSink().discard(cancelled)
      expect(await visibleRows(world, output)).toEqual(rowsOf(next))

      const empty = plannedJob(world, output, { 0: [] })
      await runJob(world.openSink(), empty)
      expect(await visibleRows(world, output)).toEqual([])
    })
  }

  if (world.modes.includes('error')) {
    test('error: a result that is there is not touched, whether it was there at the check or came later', async () => {
      const output = world.freshOutput('error')
      const late = plannedJob(world, output, { 0: [2] })
      await world.openSink().prepare(late)
      await writeLane(world.openSink(), late, 0)
      const first = plannedJob(world, output, { 0: [3] })
      await runJob(world.openSink(), first)
      expect(await rejection(world.openSink().finalise(late, 2n))).toMatchObject(PERMANENT)
      await world.openSink().discard(late)
      const problems = await world.openSink().check(output, COLUMNS, INPUT)
      expect(problems).toMatchObject([{ pointer: expect.stringMatching(/^\/output\//) }])
      // In prepare already, or at the latest before it would change something.
      const third = plannedJob(world, output, { 0: [4] })
      expect(await rejection(runJob(world.openSink(), third))).toMatchObject(PERMANENT)
      await world.openSink().discard(third)
      expect(await world.openSink().finalise(first, 3n)).toMatchObject({ rows: 3n })
      expect(await visibleRows(world, output)).toEqual(rowsOf(first))
    })
  }

  if (world.modes.includes('upsert')) {
    test('upsert: rows with a key that is there replace it, the others are added', async () => {
      const output = world.freshOutput('upsert')
      const old = plannedJob(world, output, { 0: [2, 3], 1: [4] })
      const next = plannedJob(world, output, { 1: [2], 2: [5] })
      await runJob(world.openSink(), old)
      await runJob(world.openSink(), next)
      const kept = rowsOf(old).filter((row) => !/ lane 1 chunk 0 row [01] /.test(row))
      expect(await visibleRows(world, output)).toEqual([...kept, ...rowsOf(next)].sort())
    })
  }
}
