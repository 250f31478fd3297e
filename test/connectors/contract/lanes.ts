// The contract of a lane: its writer says what is durable, takes exactly what follows, and can be lost at any moment.
import { expect, test } from 'vitest'
import { LANE_START } from '../../../connectors/connector.ts'
import { chunk, chunkCount, chunks, plannedJob, positionAfter, rowsOf, totalRows, visibleRows } from './rows.ts'
import { PERMANENT, patiently, rejection, runJob, writeLane } from './run.ts'
import type { SinkWorld } from './world.ts'

export function laneContract(world: SinkWorld): void {
  test('lanes of very different sizes, one without a row, one without a chunk: every row once', async () => {
    const many = Array.from({ length: 60 }, (_, seq) => (seq * 7) % 11)
    const job = plannedJob(world, world.freshOutput('append'), { 0: many, 3: [], 4: [2000], 11: [0, 0, 0], 12: [1] })
    const sink = world.openSink()
    await sink.prepare(job)
    await Promise.all(
      job.lanes.map(async (lane) => {
        const writer = await sink.openLane(job, lane)
        expect(writer.position).toEqual(LANE_START)
        // In calls of several chunks, as a sink takes them.
        for (let seq = 0; seq < chunkCount(job, lane); seq += 7) {
          const position = await writer.write(chunks(job, lane, seq, Math.min(seq + 7, chunkCount(job, lane))))
          expect(position).toMatchObject(positionAfter(job, lane, position.chunks))
          expect(writer.position).toEqual(position)
        }
        const end = await writer.end()
        expect(end).toMatchObject(positionAfter(job, lane, chunkCount(job, lane), true))
        expect(writer.position).toEqual(end)
        await writer.close()
      }),
    )
    const result = await sink.finalise(job, totalRows(job))
    expect(result).toEqual({ rows: totalRows(job), bytes: expect.any(BigInt), location: expect.stringMatching(/\w/) })
    expect(result.bytes).toBeGreaterThan(totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })

  test('chunks that are told to be the last end the lane with them or with `end`, and are never half of both', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 2: [3, 1], 3: [0] })
    const sink = world.openSink()
    await sink.prepare(job)
    for (const lane of job.lanes) {
      const all = chunks(job, lane, 0, chunkCount(job, lane))
      const done = positionAfter(job, lane, all.length, true)
      const position = await (await sink.openLane(job, lane)).write(all, true)
      if (position.done) expect(position).toMatchObject(done)
      // Its process has crashed here; another one does what is left.
      const writer = await world.openSink().openLane(job, lane)
      expect(writer.position).toEqual(position)
      if (!position.done) {
        await writer.write(all.slice(position.chunks), true)
        expect(await writer.end()).toMatchObject(done)
      }
    }
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test('a writer that is lost after any write is followed by one that goes on where it was durable', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 2: [3, 1, 4, 1, 5, 9, 2, 6] })
    await world.openSink().prepare(job)
    let durable = 0
    for (let seq = 0; seq < chunkCount(job, 2); seq++) {
      // Neither the writer nor its sink is closed: their process has crashed.
      const lost = await world.openSink().openLane(job, 2)
      expect(lost.position).toMatchObject(positionAfter(job, 2, lost.position.chunks))
      expect(lost.position.chunks).toBeGreaterThanOrEqual(durable)
      durable = (await lost.write(chunks(job, 2, lost.position.chunks, seq + 1))).chunks
      expect(durable).toBeLessThanOrEqual(seq + 1)
    }
    const sink = world.openSink()
    await writeLane(sink, job, 2)
    const ended = await sink.openLane(job, 2)
    expect(ended.position).toMatchObject(positionAfter(job, 2, chunkCount(job, 2), true))
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })

  test('a closed writer is followed by one that has the same position', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 1: [2, 2, 2, 2, 2] })
    const sink = world.openSink()
    await sink.prepare(job)
    const first = await sink.openLane(job, 1)
    await first.write(chunks(job, 1, 0, 3))
    await first.close()
    const second = await sink.openLane(job, 1)
    expect(second.position).toEqual(first.position)
    await second.close()
    await writeLane(sink, job, 1)
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test.each([
    ['a chunk after a gap', [1]],
    ['a gap inside of a write', [0, 2]],
    ['a chunk twice in a write', [0, 0]],
  ])('%s is refused', async (_, seqs) => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4] })
    const sink = world.openSink()
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    expect(await rejection(writer.write(seqs.map((seq) => chunk(job, 0, seq))))).toMatchObject(LOUD)
    await writer.close()
    await writeLane(sink, job, 0)
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test('a chunk that is durable already is refused, and so is one after the end', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 3, 4] })
    const sink = world.openSink()
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    await writer.write(chunks(job, 0, 0, 2))
    expect(await rejection(writer.write([chunk(job, 0, 1)]))).toMatchObject(LOUD)
    await writer.close()
    await writeLane(sink, job, 0)
    const ended = await sink.openLane(job, 0)
    for (const seq of [0, 2, 3]) expect(await rejection(ended.write([chunk(job, 0, seq)]))).toMatchObject(LOUD)
    await ended.close()
    await sink.finalise(job, totalRows(job))
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test('without prepare there is no lane, and nothing is made', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [1] })
    const sink = world.openSink()
    expect(await rejection(sink.openLane(job, 0))).toMatchObject(PERMANENT)
    expect(await world.leftovers(job)).toEqual([])
    expect(await visibleRows(world, job.output)).toBeNull()
  })

  test('prepare can be repeated, at the same moment and when rows are there', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 2], 1: [2] })
    const sinks = [world.openSink(), world.openSink()]
    await Promise.all([...sinks, ...sinks].map((sink) => patiently(() => sink.prepare(job))))
    await writeLane(sinks[0] as (typeof sinks)[0], job, 0)
    await Promise.all(sinks.map((sink) => patiently(() => sink.prepare(job))))
    await runJob(world.openSink(), job)
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
  })

  test('a sink that lags behind the controller finds nothing to write in a finalised job', async () => {
    const job = plannedJob(world, world.freshOutput('append'), { 0: [2, 2] })
    const sink = world.openSink()
    await runJob(sink, job)
    // Either the lane is gone, or it is at its end.
    const late = await world
      .openSink()
      .openLane(job, 0)
      .catch((error: unknown) => error)
    if (late instanceof Error) expect(late).toMatchObject(PERMANENT)
    else expect(late).toMatchObject({ position: { done: true } })
    expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
    expect(await world.leftovers(job)).toEqual([])
  })
}

/** Loud: the job ends, for chunks of it are lost or doubled before they came here. */
const LOUD = { ...PERMANENT, code: 'chunk_gap', message: expect.stringMatching(/expected .+, got /) }
