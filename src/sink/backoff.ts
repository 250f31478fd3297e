// How long a sink waits before it tries a destination again: longer each time, up to a limit, about two minutes in all.
import type { Lane } from '../kafka/lane.ts'

const FIRST_MS = 100
const LONGEST_MS = 15_000
const MAX_TRIES = 14

export class Backoff {
  #tries = 0

  /** The destination works again. */
  reset(): void {
    this.#tries = 0
  }

  /** Waits before the next try; false when patience is at an end or the lane has ended. */
  async wait(lane: Lane): Promise<boolean> {
    if (this.#tries >= MAX_TRIES || lane.ended) return false
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries) * (0.5 + Math.random() / 2)
    this.#tries++
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      lane.revoked.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          resolve()
        },
        { once: true },
      )
    })
    return !lane.ended
  }
}
