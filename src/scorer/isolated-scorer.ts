// Scores chunks in a process of its own: those of jobs that are under suspicion, because a scorer died on them. What kills
// that process (a fault in the native runtime, the kernel's out-of-memory killer) is then known for certain, and costs this
// one, its lanes and the other jobs nothing.
import { type ChildProcess, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { ModelError, type ModelErrorCode } from '../model/model.ts'
import { gb } from '../model/run-bound.ts'
import { ROLE_FLAGS } from '../role-flags.ts'
import { ChunkError, type ChunkScorer, type ChunkWork, type ScoredChunk } from './chunk-scorer.ts'

/** What the process says once, when it can begin. */
export interface Ready {
  readonly ready: true
}

/** What it answers; a `code` is that of a `ModelError` or `ChunkError`, none is our own fault. */
export type Answer =
  | { readonly scored: ScoredChunk }
  | { readonly error: { readonly code: string | null; readonly message: string } }

/** How often its memory is looked at while it scores. */
const WATCH_MS = 50

/** How the process ended. */
interface Death {
  readonly code: number | null
  readonly signal: string | null
  /** We ended it: so many bytes were more than the job may use. */
  readonly bytes: number | null
}

/** The process, and whose models it may have open: it keeps some when the next job's chunk comes. */
interface Child {
  readonly process: ChildProcess
  readonly jobs: Set<string>
}

/** Nobody waits for the answer any more; the process is still at it. */
const OVER = Symbol('over')

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
      if (!this.#child || isGone(this.#child.process)) this.#child = { process: await start(), jobs: new Set() }
      const { process, jobs } = this.#child
      jobs.add(job_id)
      const outcome = await ask(process, work, over)
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

/** A process that is ready for work. If it cannot begin, that is no job's fault. */
async function start(): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'isolated-process.ts'), {
    // Typed arrays and 64-bit integers go through as they are.
    serialization: 'advanced',
    execArgv: ['--disable-warning=TimeoutNegativeWarning', ...ROLE_FLAGS],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await new Promise<void>((resolve, reject) => {
    // Later it says only that the process could not be written to or killed, which is gone then.
    child.on('error', reject)
    child.once('message', () => resolve())
    child.once('exit', (code, signal) => {
      reject(new Error(`the process for suspected jobs ended before it began: ${signal ?? `exit code ${code}`}`))
    })
  })
  return child
}

/** It has died or was killed; each of these may be known before the others. */
function isGone({ killed, connected, exitCode, signalCode }: ChildProcess): boolean {
  return killed || !connected || exitCode !== null || signalCode !== null
}

/** Gives the work to the process and waits for its answer or its end; kills it when it takes too much, or nobody waits any more. */
async function ask(child: ChildProcess, work: ChunkWork, over: AbortSignal): Promise<Answer | Death | typeof OVER> {
  const { promise, resolve } = Promise.withResolvers<Answer | Death | typeof OVER>()
  const limit = work.job.config.max_memory_gb * 2 ** 30
  let bytes: number | null = null
  let answered = false
  const onExit = (code: number | null, signal: string | null) => resolve({ code, signal, bytes })
  const onOver = () => {
    child.kill('SIGKILL')
    resolve(OVER)
  }
  child.once('message', resolve)
  child.once('exit', onExit)
  over.addEventListener('abort', onOver)
  const watch = setInterval(async () => {
    const now = await residentBytes(child.pid)
    if (answered || bytes !== null || now <= limit) return
    bytes = now
    child.kill('SIGKILL')
  }, WATCH_MS)
  try {
    if (over.aborted) onOver()
    else if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode)
    // A process that is gone cannot be written to, which its exit says, too.
    else child.send(work, () => {})
    return await promise
  } finally {
    answered = true
    clearInterval(watch)
    child.off('message', resolve)
    child.off('exit', onExit)
    over.removeEventListener('abort', onOver)
  }
}

/** Resident memory of a process; 0 where that cannot be seen (other systems than Linux). */
async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
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
