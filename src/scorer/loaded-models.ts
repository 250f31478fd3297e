// The models that this scorer has open: by content, so jobs and versions with the same bytes share one; the least
// recently used is let go.

import type { JobSnapshot } from '../../topics/jobs.ts'
import type { ModelRecord } from '../../topics/models.ts'
import { ModelError } from '../model/model.ts'
import { type ModelSession, openSession } from '../model/session.ts'
import { matchColumns, type ScoringPlan, selectScored } from '../model/signature.ts'
import type { ModelStore } from '../model/store.ts'

/** Open models; more would only hold memory. */
const MAX_OPEN = 4

export interface LoadedModel {
  readonly session: ModelSession
  readonly plan: ScoringPlan
}

interface OpenModel {
  readonly session: Promise<ModelSession>
  /** Chunks that are being scored with it; it is not let go meanwhile. */
  users: number
}

export class LoadedModels {
  readonly #store: ModelStore
  readonly #providers: readonly string[]
  readonly #sessions = new Map<string, OpenModel>()
  readonly #plans = new Map<string, ScoringPlan>()

  /** `providers` are ONNX Runtime's execution providers, best first. */
  constructor(store: ModelStore, providers: readonly string[]) {
    this.#store = store
    this.#providers = providers
  }

  /** Lends the job's model, open, and its plan. Throws `ModelError` when the model cannot be had or does not fit. */
  async use<T>(job: JobSnapshot, model: ModelRecord, work: (loaded: LoadedModel) => Promise<T>): Promise<T> {
    const plan = this.#plan(job, model)
    const open = this.#open(model)
    open.users++
    try {
      return await work({ session: await open.session, plan })
    } finally {
      open.users--
    }
  }

  /** Forgets what was kept for a job. */
  forget(jobId: string): void {
    this.#plans.delete(jobId)
  }

  async close(): Promise<void> {
    for (const { session } of this.#sessions.values()) await (await session).release()
  }

  #open(model: ModelRecord): OpenModel {
    const open = this.#sessions.get(model.sha256) ?? { session: this.#load(model), users: 0 }
    // Most recently used last.
    this.#sessions.delete(model.sha256)
    this.#sessions.set(model.sha256, open)
    for (const [sha256, { session, users }] of this.#sessions) {
      if (this.#sessions.size <= MAX_OPEN) break
      if (users > 0 || sha256 === model.sha256) continue
      this.#sessions.delete(sha256)
      session.then((idle) => idle.release()).catch(() => {})
    }
    return open
  }

  async #load(model: ModelRecord): Promise<ModelSession> {
    try {
      const bytes = await this.#store.get(model.location, model.sha256)
      return await openSession(bytes, { executionProviders: this.#providers })
    } catch (error) {
      // The next chunk tries again.
      this.#sessions.delete(model.sha256)
      throw error
    }
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
