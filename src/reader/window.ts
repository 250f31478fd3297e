// How far the reader may run ahead of scoring, for each lane: about half a second's worth of chunks, at the rate at which
// the lane was scored lately. So a job of ten million rows never queues ahead of a small one. Pure.

/** Seconds of scoring that may be outstanding in a lane. */
const AHEAD_S = 0.5
/** Rows outstanding before any rate is known, and at least, so that a slow start is not taken for a slow scorer. */
const FIRST_ROWS = 16_000
/** Bytes outstanding in a lane, whatever the rate: wide rows must not fill the broker or a scorer's memory. */
const MAX_BYTES = 32 * 1024 * 1024
/** A rate is measured over at least this long. */
const RATE_MS = 100

interface LaneState {
  sent: number
  scored: number
  bytes: number
  measuredAt: number | null
  measuredChunks: number
  chunksPerSecond: number
}

export class LaneWindow {
  readonly #lanes: Map<number, LaneState>
  readonly #minChunks: number

  constructor(lanes: readonly number[], chunkRows: number) {
    this.#lanes = new Map(
      lanes.map((lane) => [
        lane,
        { sent: 0, scored: 0, bytes: 0, measuredAt: null, measuredChunks: 0, chunksPerSecond: 0 },
      ]),
    )
    this.#minChunks = Math.max(2, Math.ceil(FIRST_ROWS / chunkRows))
  }

  /** The lane with the fewest outstanding chunks among those that have room; null when none has. */
  freeLane(): number | null {
    let best: number | null = null
    let fewest = Number.POSITIVE_INFINITY
    for (const [lane, state] of this.#lanes) {
      const outstanding = state.sent - state.scored
      if (outstanding < fewest && this.hasRoom(lane)) {
        best = lane
        fewest = outstanding
      }
    }
    return best
  }

  /** Whether the lane may be given another chunk. */
  hasRoom(lane: number): boolean {
    const state = this.#lanes.get(lane)
    if (!state) return false
    const outstanding = state.sent - state.scored
    const averageBytes = state.sent ? state.bytes / state.sent : 0
    return outstanding < this.#limit(state) && outstanding * averageBytes < MAX_BYTES
  }

  /** A chunk of so many bytes was given to the lane. */
  sent(lane: number, bytes: number): void {
    this.holds(lane, 1, bytes)
  }

  /** A reader before has given the lane so many chunks already. */
  holds(lane: number, chunks: number, bytes: number): void {
    const state = this.#lanes.get(lane)
    if (!state) return
    state.sent += chunks
    state.bytes += bytes
  }

  /** The lane's scorer has committed so many chunks in all, seen at `at` (ms). */
  scored(lane: number, chunks: number, at: number): void {
    const state = this.#lanes.get(lane)
    if (!state || chunks <= state.scored) return
    state.scored = chunks
    if (state.measuredAt === null) {
      state.measuredAt = at
      state.measuredChunks = chunks
    } else if (at - state.measuredAt >= RATE_MS) {
      state.chunksPerSecond = ((chunks - state.measuredChunks) * 1000) / (at - state.measuredAt)
      state.measuredAt = at
      state.measuredChunks = chunks
    }
  }

  /** Everything that was sent to the lane is scored. */
  drained(lane: number): void {
    const state = this.#lanes.get(lane)
    if (state) state.scored = state.sent
  }

  #limit(state: LaneState): number {
    return Math.max(this.#minChunks, Math.ceil(state.chunksPerSecond * AHEAD_S))
  }
}
