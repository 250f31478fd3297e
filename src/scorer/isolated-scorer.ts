// Scores chunks in a process of its own: those of jobs that are under suspicion, because a scorer died on them. What kills
// that process (a fault in the native runtime, the kernel's out-of-memory killer) is then known for certain, and costs this
// one, its lanes and the other jobs nothing.
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { askChild, type Death, isGone, OVER, startChild } from '../model/isolated-child.ts'
import { ModelError, type ModelErrorCode } from '../model/model.ts'
import { gb } from '../model/run-bound.ts'
import { ChunkError, type ChunkScorer, type ChunkWork, type ScoredChunk } from './chunk-scorer.ts'

/** What it answers; a `code` is that of a `ModelError` or `ChunkError`, none is our own fault. */
export type Answer =
  | { readonly scored: ScoredChunk }
  | { readonly error: { readonly code: string | null; readonly message: string } }

/** The process, and whose models it may have open: it keeps some when the next job's chunk comes. */
interface Child {
  readonly process: ChildProcess
  readonly jobs: Set<string>
}

const PROCESS = join(import.meta.dirname, 'isolated-process.ts')

export class IsolatedScorer implements ChunkScorer {
  readonly #log: Logger
  #child: Child | null = null
  /** One chunk at a time, so that it is known which one was being scored when the process died. */
  #turn: Promise<unknown> = Promise.resolve()
  readonly #deaths = new Map<string, number>()
  readonly #stopped = new AbortController()

  constructor(log: Logger) {
    this.#log = log
  }

  /**
   * Null when `over` has aborted: a run cannot be ended otherwise than with its process, and one that never ends would hold
   * every other suspect. Throws `model_crashed` when the process has died `retry_count` times more than once on this job,
   * `memory_exceeded` when it took too much.
   */
  score(work: ChunkWork, over: AbortSignal): Promise<ScoredChunk | null> {
    const turn = this.#turn.then(() => this.#score(work, AbortSignal.any([over, this.#stopped.signal])))
    this.#turn = turn.catch(() => {})
    return turn
  }

  forget(jobId: string): void {
    this.#deaths.delete(jobId)
  }

  /** Gives up what is being scored, and what waits to be: it comes to nothing, as if all of it were over. */
  stop(): void {
    this.#stopped.abort()
  }

  /** Ends the process after what it was given so far; a later chunk starts another. */
  async close(): Promise<void> {
    this.#turn = this.#turn.then(() => {
      if (this.#child?.process.connected) this.#child.process.disconnect()
      this.#child = null
    })
    await this.#turn
  }

  async #score(work: ChunkWork, over: AbortSignal): Promise<ScoredChunk | null> {
    const { job_id, config } = work.job
    for (;;) {
      if (over.aborted) return null
      // One that died with nothing to do is no job's death.
      if (!this.#child || isGone(this.#child.process))
        this.#child = { process: await startChild(PROCESS, 'suspected jobs'), jobs: new Set() }
      const { process, jobs } = this.#child
      jobs.add(job_id)
      const outcome = await askChild<Answer>(process, work, config.max_memory_gb * 2 ** 30, over)
      // Killed, though its last answer may have been on its way.
      if (isGone(process)) this.#child = null
      if (outcome === OVER) return null
      if ('scored' in outcome) return outcome.scored
      if ('error' in outcome) throw raised(outcome.error)
      if (outcome.bytes !== null) {
        // What other jobs' models hold of it is not this job's.
        if (jobs.size > 1) continue
        throw memoryExceeded(work, outcome.bytes)
      }
      const deaths = (this.#deaths.get(job_id) ?? 0) + 1
      this.#deaths.set(job_id, deaths)
      this.#log.warn({ jobId: job_id, at: work.at, deaths, ...outcome }, 'a job killed the process that scored it')
      if (deaths > config.retry_count) throw modelCrashed(work, deaths, outcome)
    }
  }
}

function raised({ code, message }: { code: string | null; message: string }): Error {
  if (code === null) return new Error(`in the process of its own: ${message}`)
  return code === 'chunk_damaged' ? new ChunkError(message) : new ModelError(code as ModelErrorCode, message)
}

function modelCrashed({ model, at, rows }: ChunkWork, deaths: number, { code, signal }: Death): ModelError {
  return new ModelError(
    'model_crashed',
    `model ${model.model_id}@${model.version} killed the process that scored it ${deaths} times, at last on ${at} (${rows} rows) by ${signal ?? `exit code ${code}`}: ${signal === 'SIGKILL' ? 'most likely the machine had no memory left; lower config.batch_size, or give the worker more' : 'the runtime has a fault that this model or these rows bring out; score these rows by themselves to find the one'}`,
  )
}

function memoryExceeded({ job, model, at, rows }: ChunkWork, bytes: number): ModelError {
  return new ModelError(
    'memory_exceeded',
    `model ${model.model_id}@${model.version} took ${gb(bytes)} for ${at} (${rows} rows), more than config.max_memory_gb = ${job.config.max_memory_gb}; raise it if the worker's machine has more, or lower config.batch_size`,
  )
}
