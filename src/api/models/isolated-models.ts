// Models that the API has to run, to register them or to show scored sample rows: in processes of their own, for a model that
// crashes the native runtime, takes all memory or never ends must not end the API with it.
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Problem } from '../../../connectors/connector.ts'
import type { JobPlan } from '../../../topics/jobs.ts'
import type { ModelRecord } from '../../../topics/models.ts'
import { askChild, type Death, isGone, OVER, startChild } from '../../model/isolated-child.ts'
import { ModelError, type ModelErrorCode } from '../../model/model.ts'
import { gb } from '../../model/run-bound.ts'
import { Slots } from '../../slots.ts'

/** What a model is, as far as it has to be run to know. */
export type Inspected = Pick<ModelRecord, 'inputs' | 'outputs' | 'features'>

export interface SampleWork {
  readonly model: ModelRecord
  readonly plan: JobPlan
  /** Columns, as `encodeColumns` writes them. */
  readonly payload: Uint8Array
}

export interface ScoredSample {
  readonly payload: Uint8Array
  /** Why rows of it could not be scored. */
  readonly failed: readonly string[]
}

export type Question =
  | { readonly inspect: { readonly path: string; readonly features: readonly string[] | undefined } }
  | { readonly sample: SampleWork }

/** A `code` is that of a `ModelError`; none is our own fault. */
export type Answer =
  | { readonly inspected: Inspected }
  | { readonly problems: readonly Problem[] }
  | { readonly scored: ScoredSample }
  | { readonly error: { readonly code: string | null; readonly message: string } }

/** Models that are run at once; further ones wait. */
const AT_ONCE = 4
/** A process that has nothing to do is kept for so long: to start one takes half a second. */
const WARM_MS = 60_000
/** Optimising a large graph takes its time. Three rows do not. */
const INSPECT_MS = 60_000
const SAMPLE_MS = 20_000
/** To inspect a model may take so much, and some times its own bytes: it is read, parsed and optimised. */
const INSPECT_BYTES = 2 ** 30
const BYTES_FOR_EACH = 4

const PROCESS = join(import.meta.dirname, 'isolated-process.ts')

export class IsolatedModels {
  readonly #log: Logger
  readonly #limits: { readonly inspectMs: number; readonly sampleMs: number }
  readonly #slots = new Slots(AT_ONCE)
  readonly #stopped = new AbortController()
  readonly #idle = new Map<ChildProcess, NodeJS.Timeout>()

  constructor(log: Logger, limits = { inspectMs: INSPECT_MS, sampleMs: SAMPLE_MS }) {
    this.#log = log
    this.#limits = limits
  }

  /**
   * Loads a model once, to know what goes in and what really comes out; or says what is wrong with it. Throws `ModelError`, also
   * `model_crashed`, `memory_exceeded` and `model_too_slow`.
   */
  async inspect(
    bytes: Uint8Array,
    features: readonly string[] | undefined,
  ): Promise<Inspected | { readonly problems: readonly Problem[] }> {
    const folder = await mkdtemp(join(tmpdir(), 'scoreline-model-'))
    try {
      const path = join(folder, 'model.onnx')
      await writeFile(path, bytes)
      const maxBytes = INSPECT_BYTES + BYTES_FOR_EACH * bytes.byteLength
      const answer = await this.#ask({ inspect: { path, features } }, 'the model', maxBytes, this.#limits.inspectMs)
      if ('inspected' in answer) return answer.inspected
      if ('problems' in answer) return answer
      throw new Error(`unexpected answer: ${Object.keys(answer)}`)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Scores a few rows, with at most `maxBytes` of memory. Throws as `inspect` does. */
  async score(work: SampleWork, maxBytes: number): Promise<ScoredSample> {
    const { model_id, version } = work.model
    const name = `model ${model_id}@${version}, with the first rows of the query,`
    const answer = await this.#ask({ sample: work }, name, maxBytes, this.#limits.sampleMs)
    if ('scored' in answer) return answer.scored
    throw new Error(`unexpected answer: ${Object.keys(answer)}`)
  }

  /** Ends the processes, also those that are at work. */
  close(): void {
    this.#stopped.abort()
    for (const child of this.#idle.keys()) this.#end(child)
  }

  /** `what` is what its outcome is told of. */
  async #ask(question: Question, what: string, maxBytes: number, limitMs: number): Promise<Exclude<Answer, Failed>> {
    await this.#slots.take(this.#stopped.signal)
    try {
      const over = AbortSignal.any([AbortSignal.timeout(limitMs), this.#stopped.signal])
      const warm = this.#takeIdle()
      let outcome = warm && (await this.#askOne(warm, question, maxBytes, over))
      // What the models before have left in a process is not this one's, nor is a death while it waited.
      if (!outcome || (outcome !== OVER && 'signal' in outcome))
        outcome = await this.#askOne(await startChild(PROCESS, 'models'), question, maxBytes, over)
      if (outcome === OVER) throw this.#stopped.signal.aborted ? new Error('the API stops') : tooSlow(what, limitMs)
      if ('signal' in outcome) throw this.#died(what, outcome, maxBytes)
      if (!('error' in outcome)) return outcome
      const { code, message } = outcome.error
      throw code === null ? new Error(message) : new ModelError(code as ModelErrorCode, message)
    } finally {
      this.#slots.give()
    }
  }

  async #askOne(
    child: ChildProcess,
    question: Question,
    maxBytes: number,
    over: AbortSignal,
  ): Promise<Answer | Death | typeof OVER> {
    const outcome = await askChild<Answer>(child, question, maxBytes, over)
    if (!isGone(child)) this.#keep(child)
    return outcome
  }

  #takeIdle(): ChildProcess | undefined {
    for (const [child, timer] of this.#idle) {
      clearTimeout(timer)
      this.#idle.delete(child)
      // It may have been ended by somebody else meanwhile.
      if (!isGone(child)) return child
    }
    return undefined
  }

  #keep(child: ChildProcess): void {
    this.#idle.set(
      child,
      setTimeout(() => this.#end(child), WARM_MS),
    )
    if (this.#stopped.signal.aborted) this.#end(child)
  }

  #end(child: ChildProcess): void {
    clearTimeout(this.#idle.get(child))
    this.#idle.delete(child)
    if (child.connected) child.disconnect()
  }

  #died(what: string, { code, signal, bytes }: Death, maxBytes: number): ModelError {
    this.#log.warn({ what, code, signal, bytes }, 'a model ended the process that ran it')
    if (bytes !== null)
      return new ModelError('memory_exceeded', `${what} took ${gb(bytes)}, more than the ${gb(maxBytes)} it may use`)
    const cause =
      signal === 'SIGKILL' ? 'most likely the machine had no memory left' : 'the runtime has a fault that it brings out'
    return new ModelError(
      'model_crashed',
      `${what} killed the process that ran it, by ${signal ?? `exit code ${code}`}: ${cause}`,
    )
  }
}

type Failed = Extract<Answer, { readonly error: object }>

function tooSlow(what: string, limitMs: number): ModelError {
  return new ModelError('model_too_slow', `${what} was not done within ${limitMs / 1000} s`)
}
