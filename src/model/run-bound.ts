// How many rows may go into a model's next run: what fits in memory, told by the runs before, and what is computed while the
// process can still say to Kafka that it lives. Nobody can tell beforehand what a model needs: the size of its inner
// tensors is known when it runs.
import { ModelError } from './model.ts'

/** Bytes of a worker without any model, and what it may have with this one. */
export interface MemoryLimit {
  readonly emptyBytes: number
  readonly maxBytes: number
}

/** What of its budget a model may plan with: the rest is for chunks in hand and for what measuring misses. */
const PLANNED = 0.8
/** A run may have this many times the rows of the largest before it: the first has one row, a chunk of 1,000 the third. */
const GROWTH = 32
/** A run holds the event loop, and with it the heartbeats that keep the process's lanes. */
const MAX_RUN_MS = 1_000

/** The last of the works that are measured. */
let measuring: Promise<unknown> = Promise.resolve()

/**
 * Does work whose memory is measured when all such work before it is done: growth can only be seen of the whole process, and
 * what another lane's model takes meanwhile would be charged to this one. `work` begins with its own `memoryNow`.
 */
export function measuredAlone<T>(work: () => Promise<T>): Promise<T> {
  const done = measuring.then(work)
  measuring = done.catch(() => {})
  return done
}

export class RunBound {
  /** What the loaded model takes, without running. */
  readonly #modelBytes: number
  /** Of the run with the most rows: how many, and what all runs up to it took; the runtime's arena keeps it. */
  #mostRows = 0
  #runBytes = 0
  #msPerRow = 0

  constructor(modelBytes: number) {
    this.#modelBytes = modelBytes
  }

  /** How many of `left` rows to run next; throws `ModelError` `memory_exceeded` when the model has no room for one. */
  rows(left: number, { emptyBytes, maxBytes }: MemoryLimit): number {
    const budget = (maxBytes - emptyBytes) * PLANNED - this.#modelBytes
    const rowBytes = this.#mostRows === 0 ? 0 : this.#runBytes / this.#mostRows
    if (budget <= 0 || rowBytes > budget) throw this.#exceeded(rowBytes, emptyBytes, maxBytes)
    const inTime = this.#msPerRow === 0 ? left : Math.max(1, Math.floor(MAX_RUN_MS / this.#msPerRow))
    return Math.min(left, this.#inMemory(rowBytes, budget), inTime, Math.max(1, this.#mostRows * GROWTH))
  }

  /** Runs the model over so many rows, and learns from it: what they took only when they are more than before, few runs of all. */
  run<T>(rows: number, work: () => Promise<T>): Promise<T> {
    if (rows <= this.#mostRows) return this.#timed(rows, work)
    return measuredAlone(async () => {
      const before = memoryNow()
      const result = await this.#timed(rows, work)
      this.#runBytes += grownSince(before)
      // Runs of other lanes may have ended meanwhile.
      this.#mostRows = Math.max(this.#mostRows, rows)
      return result
    })
  }

  async #timed<T>(rows: number, work: () => Promise<T>): Promise<T> {
    const since = performance.now()
    const result = await work()
    this.#msPerRow = (performance.now() - since) / rows
    return result
  }

  /**
   * As many rows as have been run before need nothing new. For more, the runtime's arena takes a whole new region beside what it
   * holds: it cannot make the old one larger.
   */
  #inMemory(rowBytes: number, budget: number): number {
    if (rowBytes === 0) return Number.POSITIVE_INFINITY
    const again = Math.min(this.#mostRows, Math.floor(budget / rowBytes))
    return Math.max(again, Math.floor((budget - this.#runBytes) / rowBytes))
  }

  #exceeded(rowBytes: number, emptyBytes: number, maxBytes: number): ModelError {
    const parts = [
      `${gb(emptyBytes)} for the worker itself`,
      `${gb(this.#modelBytes)} for the model`,
      ...(rowBytes > 0 ? [`${gb(rowBytes)} for each row`] : []),
    ]
    return new ModelError(
      'memory_exceeded',
      `the model needs more than config.max_memory_gb = ${maxBytes / 2 ** 30}: ${parts.join(', ')}, and a fifth of the rest for chunks in hand; raise it if the worker's machine has more, or use a smaller model`,
    )
  }
}

/** Memory of this process before something, for `grownSince`. */
export interface MemoryBefore {
  readonly rss: number
  readonly peak: number
}

export function memoryNow(): MemoryBefore {
  return { rss: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 }
}

/** Bytes that the process took at most since then, as far as that can be seen. */
export function grownSince(before: MemoryBefore): number {
  const after = memoryNow()
  // A new peak is of this time; without one, what is left of it.
  return Math.max(0, (after.peak > before.peak ? after.peak : after.rss) - before.rss)
}

export function gb(bytes: number): string {
  return `${(bytes / 2 ** 30).toPrecision(2)} GB`
}
