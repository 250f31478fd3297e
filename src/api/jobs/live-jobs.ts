// The jobs as this API process sees them live: snapshot, newest counts and rate, place in the queue. What a request asks
// for is kept ready as the records arrive, so that it costs the same with ten jobs and with ten thousand.
import { isTerminal, type JobSnapshot } from '../../../topics/jobs.ts'
import { type JobStatusBody, jobStatus, withLedger } from '../../job/job-status.ts'
import { RateWindow } from '../../job/progress.ts'
import type { Views } from '../../kafka/views.ts'
import { type Page, type Place, pageOf } from '../paging.ts'
import { type Estimated, History } from './history.ts'
import type { JobFilter } from './job-filter.ts'
import { JobOrder, placeOf } from './job-order.ts'

export class LiveJobs {
  readonly #views: Views
  readonly #rates = new Map<string, RateWindow>()
  /** Tenant → jobs, and those that wait for a place. */
  readonly #all = new Map<string, JobOrder>()
  readonly #waiting = new Map<string, JobOrder>()
  readonly #history = new History()

  constructor(views: Views) {
    this.#views = views
    for (const job of views.jobs.values()) this.#onJob(job)
    views.changes.on('job', (job) => this.#onJob(job))
    views.changes.on('jobGone', (job) => {
      orderOf(this.#all, job).delete(job)
      orderOf(this.#waiting, job).delete(job)
      this.#rates.delete(job.job_id)
    })
    views.changes.on('progress', ({ job_id }) => {
      const job = views.jobs.get(job_id)
      if (job && !isTerminal(job.status))
        this.#rate(job_id).add(Date.now(), Number(withLedger(job, views.progressOf(job_id)).processed_rows))
    })
  }

  status(job: JobSnapshot): JobStatusBody {
    const now = Date.now()
    const figures = {
      rowsPerSecond: this.#rates.get(job.job_id)?.perSecond(now) ?? 0,
      expectedMs: isTerminal(job.status) ? 0 : this.estimateMs({ ...job, rows: job.plan?.total_rows ?? 0n }),
      ahead: job.status === 'submitted' ? orderOf(this.#waiting, job).before(placeOf(job)) : 0,
    }
    return jobStatus(withLedger(job, this.#views.progressOf(job.job_id)), figures, now)
  }

  /** A page of a tenant's jobs, newest first. */
  list(tenantId: string, filter: JobFilter, after: Place | null, limit: number): Page<JobSnapshot> {
    return pageOf(this.#newestFirst(tenantId, filter, after), placeOf, limit)
  }

  /** How long a job should take once it has started. */
  estimateMs(job: Estimated): number {
    return this.#history.estimateMs(job)
  }

  *#newestFirst(tenantId: string, { from, before, fits }: JobFilter, after: Place | null): Generator<JobSnapshot> {
    // Ids are not empty, so this place is before all of its moment.
    const end = before === null ? null : { at: before, id: '' }
    const start = after === null || (end !== null && end.at <= after.at) ? end : after
    for (const id of this.#all.get(tenantId)?.newestFirst(start) ?? []) {
      const job = this.#views.jobs.get(id)
      if (!job) continue
      if (from !== null && job.submitted_at < from) return
      if (fits(job)) yield job
    }
  }

  #onJob(job: JobSnapshot): void {
    orderOf(this.#all, job).add(job)
    // The controller lets those behind it pass while a job waits for something else than a place.
    if (job.status === 'submitted' && job.waiting_for === null) orderOf(this.#waiting, job).add(job)
    else orderOf(this.#waiting, job).delete(job)
    this.#history.add(job)
    if (isTerminal(job.status)) this.#rates.delete(job.job_id)
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

function orderOf(orders: Map<string, JobOrder>, { tenant_id }: JobSnapshot): JobOrder {
  let order = orders.get(tenant_id)
  if (!order) {
    order = new JobOrder()
    orders.set(tenant_id, order)
  }
  return order
}
