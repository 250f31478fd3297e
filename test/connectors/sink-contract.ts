// What every destination's sink promises (connectors/connector.ts), as one suite of tests for all of them. A destination joins with a
// file that describes its world (contract/world.ts) and calls `sinkContract`; the suite runs on its real server.
import { afterEach, describe } from 'vitest'
import type { LaneWriter, Sink } from '../../connectors/connector.ts'
import type { WriteMode } from '../../topics/jobs.ts'
import { expiryContract } from './contract/expiry.ts'
import { failureContract } from './contract/failures.ts'
import { laneContract } from './contract/lanes.ts'
import { resultContract } from './contract/results.ts'
import { rivalContract } from './contract/rivals.ts'
import { scheduleContract } from './contract/schedule.ts'
import { valueContract } from './contract/values.ts'
import type { OpenWorld, SinkWorld } from './contract/world.ts'

export { type Failing, type SeenRow, type SinkWorld, UPSERT_KEY } from './contract/world.ts'

/** Registers the suite. The world's functions are called when tests run: what they need may be started in `beforeAll`. */
export function sinkContract(name: string, world: SinkWorld): void {
  describe(`${name}: the sink contract`, () => {
    const opened = openWorld(world)
    afterEach(() => opened.closeSinks())

    describe('lanes', () => laneContract(opened))
    describe('rivals', () => rivalContract(opened))
    describe('results', () => resultContract(opened))
    describe('expiry', () => expiryContract(opened))
    describe('failures', () => failureContract(opened))
    describe('values', () => valueContract(opened))
    describe('schedules', () => scheduleContract(opened))
  })
}

function openWorld(world: SinkWorld): OpenWorld {
  const sinks: Sink[] = []
  const writers: LaneWriter[] = []
  const track = (sink: Sink): Sink => {
    sinks.push(sink)
    return {
      ...sink,
      openLane: async (job, lane) => {
        const writer = await sink.openLane(job, lane)
        writers.push(writer)
        return writer
      },
    }
  }
  const { dyingSink, failing } = world
  return {
    ...world,
    openSink: () => track(world.openSink()),
    ...(dyingSink && {
      dyingSink: async (step: number) => {
        const { sink, died } = await dyingSink(step)
        return { sink: track(sink), died }
      },
    }),
    ...(failing && {
      failing: Object.fromEntries(
        Object.entries(failing).map(([how, begin]) => [
          how,
          async (mode: WriteMode) => {
            const { sink, ...rest } = await begin(mode)
            return { sink: track(sink), ...rest }
          },
        ]),
      ),
    }),
    closeSinks: async () => {
      // Tests lose writers without closing them, as crashes do; their handles must go all the same.
      await Promise.all(writers.splice(0).map((writer) => writer.close()))
      await Promise.all(sinks.splice(0).map((sink) => sink.close()))
    },
  }
}
