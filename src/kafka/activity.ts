// What this process is doing, for its heartbeat: the share of time in which it worked, or had to hold back, and how long a
// chunk takes. A stage may be at several lanes at once; it works while it works on any of them.

/** Durations kept for the quantile: those of the last chunks since the last heartbeat. */
const KEPT = 1_024

export interface ActivityReport {
  /** Shares of the time since the last report, between 0 and 1; the rest it was idle. */
  readonly busyShare: number
  readonly backPressuredShare: number
  readonly rowsPerSecond: number
  /** 95 of 100 chunks took no longer; null without a chunk. */
  readonly chunkP95Ms: number | null
  /** The jobs that it worked on. */
  readonly jobs: string[]
}

export class Activity {
  readonly #durations = new Float64Array(KEPT)
  readonly #jobs = new Set<string>()
  #working = 0
  #holding = 0
  #busyMs = 0
  #holdingMs = 0
  #rows = 0
  #chunks = 0
  #movedAt: number
  #reportedAt: number

  /** `now` in ms, from a clock that never goes back. */
  constructor(now = performance.now()) {
    this.#movedAt = now
    this.#reportedAt = now
  }

  /** Work begins; it ends when what is returned is called. */
  begin(): () => void {
    this.#move(performance.now())
    this.#working++
    return once(() => {
      this.#move(performance.now())
      this.#working--
    })
  }

  /** There is something to do that must wait until others have taken what they were given. */
  hold(): () => void {
    this.#move(performance.now())
    this.#holding++
    return once(() => {
      this.#move(performance.now())
      this.#holding--
    })
  }

  /** A chunk of so many rows went through in so many ms. */
  chunk(jobId: string, rows: number, ms: number): void {
    this.#durations[this.#chunks++ % KEPT] = ms
    this.#rows += rows
    this.#jobs.add(jobId)
  }

  /** What happened since the last report. */
  report(now = performance.now()): ActivityReport {
    this.#move(now)
    const elapsed = Math.max(1, now - this.#reportedAt)
    const share = (ms: number): number => Math.min(1, ms / elapsed)
    const durations = this.#durations.subarray(0, Math.min(this.#chunks, KEPT)).toSorted()
    const report = {
      busyShare: share(this.#busyMs),
      backPressuredShare: share(this.#holdingMs),
      rowsPerSecond: (this.#rows * 1_000) / elapsed,
      chunkP95Ms: durations[Math.ceil(durations.length * 0.95) - 1] ?? null,
      jobs: [...this.#jobs],
    }
    this.#busyMs = 0
    this.#holdingMs = 0
    this.#rows = 0
    this.#chunks = 0
    this.#jobs.clear()
    this.#reportedAt = now
    return report
  }

  /** Adds the time since the last change to what was going on in it. */
  #move(now: number): void {
    const ms = now - this.#movedAt
    if (this.#working > 0) this.#busyMs += ms
    else if (this.#holding > 0) this.#holdingMs += ms
    this.#movedAt = now
  }
}

function once(end: () => void): () => void {
  let ended = false
  return () => {
    if (ended) return
    ended = true
    end()
  }
}
