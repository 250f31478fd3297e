// How far the reader runs ahead of scoring in each lane.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LaneWindow } from '../../src/reader/window.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A window, with an account of its own of what waits in each lane. */
function tally(lanes: readonly number[], chunkRows: number) {
  const window = new LaneWindow(lanes, chunkRows)
  const sent = new Map<number, number>()
  const scored = new Map<number, number>()
  return {
    window,
    waiting: (lane: number): number => (sent.get(lane) ?? 0) - (scored.get(lane) ?? 0),
    send: (lane: number, bytes: number): void => {
      sent.set(lane, (sent.get(lane) ?? 0) + 1)
      window.sent(lane, bytes)
    },
    /** Sends to free lanes until none is free; how many chunks went to each. */
    fill(bytes = KIB): Map<number, number> {
      const now = new Map<number, number>()
      for (let lane = window.freeLane(); lane !== null; lane = window.freeLane()) {
        this.send(lane, bytes)
        now.set(lane, (now.get(lane) ?? 0) + 1)
      }
      return now
    },
    /** So many more chunks of the lane were scored. */
    score: (lane: number, chunks: number, at: number): void => {
      scored.set(lane, (scored.get(lane) ?? 0) + chunks)
      window.scored(lane, scored.get(lane) ?? 0, at)
    },
  }
}

describe('before anything is scored', () => {
  test.each([
    [1, 16_000],
    [1_000, 16],
    [1_001, 16],
    [8_000, 2],
    [100_000, 2],
  ])('of chunks of %d rows, %d may wait in a lane', (chunkRows, chunks) => {
    expect(tally([3], chunkRows).fill()).toEqual(new Map([[3, chunks]]))
  })

  test('lanes take turns', () => {
    const window = new LaneWindow([4, 7, 9], 8_000)
    const turns: (number | null)[] = []
    for (let i = 0; i < 7; i++) {
      const lane = window.freeLane()
      turns.push(lane)
      if (lane !== null) window.sent(lane, KIB)
    }
    expect(turns).toEqual([4, 7, 9, 4, 7, 9, null])
  })
})

describe('while lanes are scored', () => {
  test('what was scored makes room, in its lane', () => {
    const lanes = tally([0, 1], 1_000)
    lanes.fill()
    lanes.score(1, 5, 1_000)
    expect(lanes.fill()).toEqual(new Map([[1, 5]]))
  })

  test('half a second of scoring may wait, at the lane’s own rate', () => {
    const lanes = tally([0, 1], 1_000)
    // Lane 0 does a chunk a millisecond, lane 1 one in a hundred.
    for (let at = 0; at <= 3_000; at += 10) {
      lanes.fill()
      lanes.score(0, 10, at)
      if (at % 100 === 0) lanes.score(1, 1, at)
    }
    lanes.fill()
    expect(lanes.waiting(0)).toBe(500)
    expect(lanes.waiting(1)).toBe(16)
  })

  test('a lane that gets slow has its limit go down again', () => {
    const lanes = tally([0], 1_000)
    for (let at = 0; at <= 1_000; at += 10) {
      lanes.fill()
      lanes.score(0, 10, at)
    }
    lanes.score(0, 20, 11_000)
    expect(lanes.fill()).toEqual(new Map())
    lanes.score(0, 460, 21_000)
    lanes.fill()
    // 460 chunks in ten seconds.
    expect(lanes.waiting(0)).toBe(23)
  })

  test('an older report, or one of a lane of another job, changes nothing', () => {
    const { window } = tally([0], 1_000)
    for (let i = 0; i < 20; i++) window.sent(0, KIB)
    window.scored(0, 5, 1_000)
    window.scored(0, 2, 2_000)
    window.scored(9, 100, 2_000)
    window.sent(9, KIB)
    expect(window.freeLane()).toBe(0)
    window.sent(0, KIB)
    expect(window.freeLane()).toBeNull()
  })
})

describe('a read that goes on where another stood', () => {
  test('counts what is not scored of what the other gave', () => {
    const window = new LaneWindow([0, 1], 1_000)
    window.holds(0, 100, 100 * KIB)
    window.holds(1, 50, 50 * KIB)
    expect(window.freeLane()).toBeNull()
    window.scored(0, 90, 1_000)
    window.scored(1, 50, 1_000)
    expect(window.freeLane()).toBe(1)
    for (let i = 0; i < 6; i++) window.sent(0, KIB)
    expect(window.hasRoom(0)).toBe(false)
  })
})

describe('wide rows', () => {
  test('wait only up to 32 MiB', () => {
    expect(tally([0], 1_000).fill(4 * MIB)).toEqual(new Map([[0, 8]]))
  })

  test('one chunk may always go', () => {
    const lanes = tally([0], 1_000)
    expect(lanes.fill(100 * MIB)).toEqual(new Map([[0, 1]]))
    lanes.score(0, 1, 1_000)
    expect(lanes.fill(100 * MIB)).toEqual(new Map([[0, 1]]))
  })
})

test('whatever happens, the lane that is offered waits for least, and an idle lane is always offered', () => {
  const lanes = [2, 5, 11]
  const step = fc.oneof(
    fc.record({ type: fc.constant('send' as const), kib: fc.integer({ min: 1, max: 20_000 }) }),
    fc.record({
      type: fc.constant('score' as const),
      lane: fc.constantFrom(...lanes),
      ms: fc.integer({ min: 1, max: 500 }),
    }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(500, 2_000, 50_000), (steps, chunkRows) => {
      const { window, waiting, send, score } = tally(lanes, chunkRows)
      let at = 0
      for (const each of steps) {
        if (each.type === 'score') {
          at += each.ms
          score(each.lane, Math.min(1, waiting(each.lane)), at)
          continue
        }
        const lane = window.freeLane()
        const idle = lanes.find((other) => waiting(other) === 0)
        if (idle !== undefined) expect(lane).toBe(idle)
        if (lane === null) continue
        // Here a lane scores at most a chunk a millisecond: half a second are 500. Before that, 16,000 rows, or 2 chunks.
        expect(waiting(lane)).toBeLessThan(Math.max(500, 16_000 / chunkRows))
        send(lane, each.kib * KIB)
      }
    }),
  )
})
