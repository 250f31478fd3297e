// The jobs as this API process sees them live: snapshot, newest counts and rate. The rates come from the ledger entries
// as they arrive, so they are there when somebody first asks.
import { isTerminal, type JobSnapshot } from '../../../topics/jobs.ts'
import { type JobStatusBody, jobStatus, withLedger } from '../../job/job-status.ts'
import { RateWindow } from '../../job/progress.ts'
import type { Views } from '../../kafka/views.ts'

export class LiveJobs {
  readonly #views: Views
  readonly #rates = new Map<string, RateWindow>()

  constructor(views: Views) {
    this.#views = views
    views.changes.on('progress', ({ job_id }) => {
      const job = views.jobs.get(job_id)
      if (job && !isTerminal(job.status))
        this.#rate(job_id).add(Date.now(), Number(withLedger(job, views.progressOf(job_id)).processed_rows))
    })
    views.changes.on('job', (job) => {
      if (isTerminal(job.status)) this.#rates.delete(job.job_id)
    })
  }

  status(job: JobSnapshot): JobStatusBody {
    const now = Date.now()
    return jobStatus(
      withLedger(job, this.#views.progressOf(job.job_id)),
      this.#rates.get(job.job_id)?.perSecond(now) ?? 0,
      job.status === 'submitted' ? this.#ahead(job) : 0,
      now,
    )
  }

  /** A tenant's jobs, newest first. */
  newestFirst(tenantId: string): JobSnapshot[] {
    return [...this.#views.jobs.values()].filter((job) => job.tenant_id === tenantId).sort(compareNewestFirst)
  }

  /**
   * Milliseconds a job of so many rows should take: at the rate of the last jobs of the same model version, else of any,
   * else at a rate that a small machine reaches with a model of 100 trees.
   */
  estimateMs(modelId: string, modelVersion: number, rows: bigint): number {
    const done = [...this.#views.jobs.values()].filter((job) => job.status === 'completed' && job.processed_rows > 0n)
    const same = done.filter((job) => job.model_id === modelId && job.model_version === modelVersion)
    const history = (same.length ? same : done).sort(compareNewestFirst).slice(0, 5)
    const ms = history.reduce((sum, job) => sum + Number((job.finished_at ?? 0n) - (job.started_at ?? 0n)), 0)
    const scored = history.reduce((sum, job) => sum + Number(job.processed_rows), 0)
    return scored > 0 && ms > 0 ? (Number(rows) * ms) / scored : Number(rows) / 200
  }

  /** How many of the tenant's waiting jobs start before this one. */
  #ahead(job: JobSnapshot): number {
    return this.newestFirst(job.tenant_id).filter(
      (other) => other.status === 'submitted' && compareNewestFirst(other, job) > 0,
    ).length
  }

  #rate(jobId: string): RateWindow {
    let rate = this.#rates.get(jobId)
    if (!rate) {
      rate = new RateWindow()
      this.#rates.set(jobId, rate)
    }
    return rate
  }
}

/** Order of the list: by time of submission, then by id, so that pages are stable. */
export function compareNewestFirst(a: JobSnapshot, b: JobSnapshot): number {
  return Number(b.submitted_at - a.submitted_at) || (a.job_id < b.job_id ? 1 : -1)
}
