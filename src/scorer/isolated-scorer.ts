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
const PAGE_BYTES = 4096

/** How the process ended. */
interface Death {
  readonly code: number | null
  readonly signal: string | null
  /** We ended it: so many bytes were more than the job may use. */
  readonly bytes: number | null
}

export class IsolatedScorer implements ChunkScorer {
  readonly #log: Logger
  #child: ChildProcess | null = null
  /** One chunk at a time, so that it is known which one was being scored when the process died. */
  #turn: Promise<unknown> = Promise.resolve()
  readonly #deaths = new Map<string, number>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** Throws `model_crashed` when the process has died `retry_count` times more than once on this job, `memory_exceeded` when it took too much. */
  score(work: ChunkWork): Promise<ScoredChunk> {
    const turn = this.#turn.then(() => this.#score(work))
    this.#turn = turn.catch(() => {})
    return turn
  }

  forget(jobId: string): void {
    this.#deaths.delete(jobId)
  }

  /** Ends the process after what it was given so far; a later chunk starts another. */
  async close(): Promise<void> {
    this.#turn = this.#turn.then(() => {
      this.#child?.disconnect()
      this.#child = null
    })
    await this.#turn
  }

  async #score(work: ChunkWork): Promise<ScoredChunk> {
    const { job_id, config } = work.job
    for (;;) {
      this.#child ??= await start()
      const outcome = await ask(this.#child, work)
      if ('scored' in outcome) return outcome.scored
      if ('error' in outcome) throw raised(outcome.error)
      this.#child = null
      if (outcome.bytes !== null) throw memoryExceeded(work, outcome.bytes)
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
    child.once('message', () => resolve())
    child.once('exit', (code, signal) => {
      reject(new Error(`the process for suspected jobs ended before it began: ${signal ?? `exit code ${code}`}`))
    })
  })
  return child
}

/** Gives the work to the process and waits for its answer or its end. */
async function ask(child: ChildProcess, work: ChunkWork): Promise<Answer | Death> {
  const { promise, resolve } = Promise.withResolvers<Answer | Death>()
  const limit = work.job.config.max_memory_gb * 2 ** 30
  let bytes: number | null = null
  let over = false
  const onExit = (code: number | null, signal: string | null) => resolve({ code, signal, bytes })
  child.once('message', resolve)
  child.once('exit', onExit)
  const watch = setInterval(async () => {
    const now = await residentBytes(child.pid)
    if (over || bytes !== null || now <= limit) return
    bytes = now
    child.kill('SIGKILL')
  }, WATCH_MS)
  try {
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode)
    // A process that is gone cannot be written to, which its exit says, too.
    else child.send(work, () => {})
    return await promise
  } finally {
    over = true
    clearInterval(watch)
    child.off('message', resolve)
    child.off('exit', onExit)
  }
}

/** Resident memory of a process; 0 where that cannot be seen (other systems than Linux). */
async function residentBytes(pid: number | undefined): Promise<number> {
  const statm = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '')
  return Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES
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
