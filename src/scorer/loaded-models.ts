// The models that this scorer has open: by content, so jobs and versions with the same bytes share one; the least
// recently used is let go.

import type { JobSnapshot } from '../../topics/jobs.ts'
import type { ModelRecord } from '../../topics/models.ts'
import { ModelError, type ModelSession } from '../model/model.ts'
import { gb, grownSince, type MemoryLimit, measuredAlone, memoryNow, RunBound } from '../model/run-bound.ts'
import { openScoringSession } from '../model/scoring-session.ts'
import { matchColumns, type ScoringPlan, selectScored } from '../model/signature.ts'
import type { ModelStore } from '../model/store.ts'
import type { RowBound } from './score-chunk.ts'

const MEMORY_CODES: readonly string[] = ['memory_exceeded', 'out_of_memory']

/** Open models; more would only hold memory. */
const MAX_OPEN = 4

export interface LoadedModel {
  readonly session: ModelSession
  readonly plan: ScoringPlan
  readonly bound: RowBound
}

interface OpenSession {
  readonly session: ModelSession
  readonly bound: RunBound
}

interface OpenModel {
  readonly opened: Promise<OpenSession>
  /** Chunks that are being scored with it; it is not let go meanwhile. */
  users: number
}

export class LoadedModels {
  readonly #store: ModelStore
  readonly #providers: readonly string[]
  readonly #sessions = new Map<string, OpenModel>()
  readonly #plans = new Map<string, ScoringPlan>()
  /** What the process takes without any model. */
  readonly #emptyBytes = memoryNow().rss

  /** `providers` are ONNX Runtime's execution providers, best first. */
  constructor(store: ModelStore, providers: readonly string[]) {
    this.#store = store
    this.#providers = providers
  }

  /** Lends the job's model, open, and its plan. Throws `ModelError` when the model cannot be had or does not fit. */
  async use<T>(job: JobSnapshot, model: ModelRecord, work: (loaded: LoadedModel) => Promise<T>): Promise<T> {
    const plan = this.#plan(job, model)
    const limit = { emptyBytes: this.#emptyBytes, maxBytes: job.config.max_memory_gb * 2 ** 30 }
    this.#refuseLarge(model, limit)
    const open = this.#open(model)
    open.users++
    try {
      const { session, bound } = await open.opened
      return await work({
        session,
        plan,
        bound: { rows: (left) => bound.rows(left, limit), run: (rows, run) => bound.run(rows, run) },
      })
    } catch (error) {
      // What its runs have taken stays with the session: only closing it gives that back.
      if (error instanceof ModelError && MEMORY_CODES.includes(error.code)) this.#letGo(model, open)
      throw error
    } finally {
      open.users--
      if (open.users === 0 && this.#sessions.get(model.sha256) !== open) release(open)
    }
  }

  /** A model that cannot fit is not even read: its bytes are in memory twice when it is loaded. */
  #refuseLarge({ bytes }: ModelRecord, { emptyBytes, maxBytes }: MemoryLimit): void {
    const needed = emptyBytes + 2 * Number(bytes)
    if (needed <= maxBytes) return
    throw new ModelError(
      'memory_exceeded',
      `loading the model takes ${gb(needed)} with the worker itself, more than config.max_memory_gb = ${maxBytes / 2 ** 30}; raise it if the worker's machine has more`,
    )
  }

  /** Forgets what was kept for a job. */
  forget(jobId: string): void {
    this.#plans.delete(jobId)
  }

  async close(): Promise<void> {
    for (const { opened } of this.#sessions.values()) await (await opened).session.release()
  }

  #open(model: ModelRecord): OpenModel {
    const open = this.#sessions.get(model.sha256) ?? this.#opening(model)
    // Most recently used last.
    this.#sessions.delete(model.sha256)
    this.#sessions.set(model.sha256, open)
    for (const [sha256, idle] of this.#sessions) {
      if (this.#sessions.size <= MAX_OPEN) break
      if (idle.users > 0 || sha256 === model.sha256) continue
      this.#sessions.delete(sha256)
      release(idle)
    }
    return open
  }

  #opening(model: ModelRecord): OpenModel {
    const open = { opened: this.#load(model), users: 0 }
    // The next chunk tries again.
    open.opened.catch(() => this.#letGo(model, open))
    return open
  }

  /** Whoever uses it last releases it. What another chunk has opened since then stays. */
  #letGo({ sha256 }: ModelRecord, open: OpenModel): void {
    if (this.#sessions.get(sha256) === open) this.#sessions.delete(sha256)
  }

  async #load(model: ModelRecord): Promise<OpenSession> {
    const bytes = await this.#store.get(model.location, model.sha256)
    return measuredAlone(async () => {
      const before = memoryNow()
      const session = await openScoringSession(bytes, this.#providers)
      return { session, bound: new RunBound(grownSince(before)) }
    })
  }

  #plan(job: JobSnapshot, model: ModelRecord): ScoringPlan {
    const kept = this.#plans.get(job.job_id)
    if (kept) return kept
    const matched = matchColumns(
      { signature: { inputs: model.inputs, outputs: model.outputs }, features: model.features },
      job.plan?.query_columns ?? [],
    )
    const selected = 'problems' in matched ? matched : selectScored(matched.plan, job.plan?.scored_columns ?? [])
    if ('problems' in selected)
      throw new ModelError('model_invalid', selected.problems.map(({ detail }) => detail).join('; '))
    this.#plans.set(job.job_id, selected.plan)
    return selected.plan
  }
}

function release({ opened }: OpenModel): void {
  opened.then(({ session }) => session.release()).catch(() => {})
}
