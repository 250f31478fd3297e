// How long a role waits before it tries again what failed for a passing reason (a server that restarts, a deadlock): longer
// each time, with jitter so that all who wait do not come back at once, until its patience is at an end.
import { setTimeout as pause } from 'node:timers/promises'

const FIRST_MS = 100
const LONGEST_MS = 5_000

/**
 * For what others queue behind: a lane of scored chunks, a lane of chunks. A server's restart takes seconds, a failover one
 * or two minutes.
 */
export const SHARED_PATIENCE_MS = 120_000
/** For what keeps nobody else waiting: a read, the preparation of an output. The job's deadline may come first. */
export const OWN_PATIENCE_MS = 600_000

export class Backoff {
  readonly #patienceMs: number
  #tries = 0
  #firstFailureAt = 0

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs
  }

  /** It works again. */
  reset(): void {
    this.#tries = 0
  }

  /** Waits before the next try. False when patience is at an end, or `signal` has aborted: there is to be no next try. */
  async wait(signal: AbortSignal): Promise<boolean> {
    if (this.#tries === 0) this.#firstFailureAt = performance.now()
    if (performance.now() - this.#firstFailureAt >= this.#patienceMs) return false
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries) * (0.5 + Math.random() / 2)
    this.#tries++
    await pause(ms, undefined, { signal }).catch(() => {})
    return !signal.aborted
  }
}
