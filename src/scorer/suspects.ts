// Jobs on which a scorer may have died: their chunks were in its hands and are not committed. Until they end they are scored
// in a process of its own; an innocent job loses some speed by that, a guilty one kills nothing else.
import type { Logger } from 'pino'
import type { ChunkScorer } from './chunk-scorer.ts'
import type { IsolatedScorer } from './isolated-scorer.ts'

export class Suspects {
  readonly #jobs = new Set<string>()
  readonly #isolated: IsolatedScorer
  readonly #log: Logger

  constructor(isolated: IsolatedScorer, log: Logger) {
    this.#isolated = isolated
    this.#log = log
  }

  add(jobId: string): void {
    if (this.#jobs.has(jobId)) return
    this.#jobs.add(jobId)
    this.#log.warn({ jobId }, 'the last owner of a lane died with this job in hand: scoring it in a process of its own')
  }

  /** Who scores the job, if it is under suspicion. */
  scorerOf(jobId: string): ChunkScorer | null {
    return this.#jobs.has(jobId) ? this.#isolated : null
  }

  /** The job has ended. With the last suspect the process ends, too. */
  clear(jobId: string): void {
    this.#isolated.forget(jobId)
    if (this.#jobs.delete(jobId) && this.#jobs.size === 0) this.#isolated.close()
  }

  /** Gives up what is being scored. */
  stop(): void {
    this.#isolated.stop()
  }

  close(): Promise<void> {
    return this.#isolated.close()
  }
}
