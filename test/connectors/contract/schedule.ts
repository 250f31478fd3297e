// The contract as a property: whatever order writers write, crash, come again and get in each other's way in, every row is in the
// result once.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConnectorError, type LaneWriter, type Sink } from '../../../connectors/connector.ts'
import { chunk, chunkCount, type PlannedJob, plannedJob, rowsOf, totalRows, visibleRows } from './rows.ts'
import { patiently, writeLane } from './run.ts'
import type { OpenWorld } from './world.ts'

/** Small: each run is a whole job on a real server. Failures print their seed. */
const RUNS = 15

const LANES = [0, 3]
/** Writers of a lane that may be at work at the same time: its owner and zombies. */
const WRITERS = 3

/**
 * - `write`: a writer takes the next chunks, or the end after the last; without a writer, one is opened.
 * - `crash`: its process is gone; the next to write opens the lane again.
 * - `close`: it is closed in order.
 * - `wrong`: a chunk that it has had, or that is not its turn: refused.
 */
type Step = readonly [action: 'write' | 'crash' | 'close' | 'wrong', lane: number, writer: number, count: number]

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 6, arbitrary: fc.constant('write' as const) },
      { weight: 1, arbitrary: fc.constantFrom('crash' as const, 'close' as const, 'wrong' as const) },
    ),
    fc.constantFrom(...LANES),
    fc.nat(WRITERS - 1),
    fc.integer({ min: 1, max: 4 }),
  ),
  { minLength: 5, maxLength: 40 },
)
const sizes = fc.array(fc.nat(5), { maxLength: 12 })

export function scheduleContract(world: OpenWorld): void {
  test('any schedule of writes, crashes, reopenings and zombies ends with every row once', async () => {
    await fc.assert(
      fc.asyncProperty(steps, sizes, sizes, fc.boolean(), async (schedule, one, other, atOnce) => {
        const job = plannedJob(world, world.freshOutput('append'), {
          [LANES[0] as number]: one,
          [LANES[1] as number]: other,
        })
        const controller = world.openSink()
        await controller.prepare(job)
        await play(world, job, schedule, atOnce)
        for (const lane of job.lanes) await patiently(() => writeLane(world.openSink(), job, lane))
        await controller.finalise(job, totalRows(job))
        expect(await visibleRows(world, job.output)).toEqual(rowsOf(job))
        expect(await world.leftovers(job)).toEqual([])
        await world.closeSinks()
      }),
      { numRuns: world.scheduleRuns ?? RUNS, endOnFailure: true },
    )
  })
}

/** Plays the schedule: all steps one after the other, or each writer's steps beside those of the others. */
async function play(world: OpenWorld, job: PlannedJob, schedule: readonly Step[], atOnce: boolean): Promise<void> {
  const actors = new Map<string, Actor>()
  const after = new Map<string, Promise<void>>()
  for (const step of schedule) {
    const key = atOnce ? `${step[1]}/${step[2]}` : ''
    const actorKey = `${step[1]}/${step[2]}`
    const actor = actors.get(actorKey) ?? new Actor(world.openSink(), job, step[1])
    actors.set(actorKey, actor)
    after.set(
      key,
      (after.get(key) ?? Promise.resolve()).then(() => actor.act(step)),
    )
  }
  await Promise.all(after.values())
}

/** One process that believes that a lane is its own. */
class Actor {
  readonly #sink: Sink
  readonly #job: PlannedJob
  readonly #lane: number
  #writer: LaneWriter | null = null
  /** What was taken in, durable or not. */
  #nextSeq = 0

  constructor(sink: Sink, job: PlannedJob, lane: number) {
    this.#sink = sink
    this.#job = job
    this.#lane = lane
  }

  async act([action, , , count]: Step): Promise<void> {
    try {
      if (action === 'write') await this.#write(count)
      if (action === 'wrong') await this.#wrong(count)
    } catch (error) {
      // Told that the lane is another's: closes, to open it again, as a sink does.
      if (!(error instanceof ConnectorError && error.retriable)) throw error
      await this.#close()
    }
    if (action === 'close') await this.#close()
    if (action === 'crash') this.#writer = null
  }

  async #write(count: number): Promise<void> {
    const writer = await this.#opened()
    if (writer.position.done) return
    const last = chunkCount(this.#job, this.#lane)
    if (this.#nextSeq === last) {
      await writer.end()
      return
    }
    const next = Array.from({ length: Math.min(count, last - this.#nextSeq) }, (_, i) =>
      chunk(this.#job, this.#lane, this.#nextSeq + i),
    )
    this.#nextSeq += next.length
    const { chunks: durable } = await writer.write(next)
    expect(durable).toBeLessThanOrEqual(this.#nextSeq)
  }

  async #wrong(offset: number): Promise<void> {
    const writer = await this.#opened()
    const seq = offset % 2 ? this.#nextSeq + offset : this.#nextSeq - offset
    if (seq < 0) return
    await expect(writer.write([chunk(this.#job, this.#lane, seq)])).rejects.toMatchObject({
      code: expect.stringMatching(/^(chunk_gap|lane_taken)$/),
    })
    await this.#close()
  }

  async #opened(): Promise<LaneWriter> {
    if (!this.#writer) {
      this.#writer = await this.#sink.openLane(this.#job, this.#lane)
      this.#nextSeq = this.#writer.position.chunks
    }
    return this.#writer
  }

  async #close(): Promise<void> {
    await this.#writer?.close()
    this.#writer = null
  }
}
