// Which jobs of a book want something, kept up to date change by change. A look costs what it finds: neither ten thousand
// finished jobs nor as many that wait for a place make a turn of the controller slower.
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import { duty, isActive } from '../job/machine.ts'

export class OpenJobs {
  readonly #active = new Map<string, JobSnapshot>()
  readonly #due = new Map<string, JobSnapshot>()
  /** Tenant → how many of its jobs are active. */
  readonly #places = new Counts()
  /** Schedule → how many of its jobs are not finished. */
  readonly #ofSchedule = new Counts()
  /** Tenant → its jobs that wait for a place, in the order in which they get one. */
  readonly #waiting = new Map<string, JobSnapshot[]>()

  /** Jobs that nobody could score if they had a place. */
  readonly #stalled = new Map<string, JobSnapshot>()

  /** A job has a new state: `before` is the last one, `after` the new one; undefined: it is not (or no longer) there. */
  changed(before: JobSnapshot | undefined, after: JobSnapshot | undefined): void {
    if (before) this.#remove(before)
    if (after) this.#add(after)
  }

  /** Whether a job of the schedule is not finished. */
  isBusy(scheduleId: string): boolean {
    return this.#ofSchedule.has(scheduleId)
  }

  /** Jobs that take one of their tenant's places. */
  active(): IterableIterator<JobSnapshot> {
    return this.#active.values()
  }

  /** Jobs for which the controller has to do something outside itself. */
  due(): IterableIterator<JobSnapshot> {
    return this.#due.values()
  }

  /** Jobs that wait for a worker before they can start: they stand in no queue. */
  stalled(): IterableIterator<JobSnapshot> {
    return this.#stalled.values()
  }

  /** Of each tenant as many waiting jobs as it has free places, those first that were submitted first. */
  next(placesOfATenant: number): JobSnapshot[] {
    return [...this.#waiting].flatMap(([tenant, jobs]) =>
      jobs.slice(0, Math.max(0, placesOfATenant - this.#places.get(tenant))),
    )
  }

  #add(job: JobSnapshot): void {
    if (!isTerminal(job.status)) this.#ofSchedule.add(job.schedule_id, 1)
    const due = duty(job)
    if (due === 'admit') this.#enqueue(job)
    else if (due !== null) this.#due.set(job.job_id, job)
    if (!isActive(job)) return
    this.#active.set(job.job_id, job)
    this.#places.add(job.tenant_id, 1)
  }

  #remove(job: JobSnapshot): void {
    if (!isTerminal(job.status)) this.#ofSchedule.add(job.schedule_id, -1)
    this.#due.delete(job.job_id)
    if (duty(job) === 'admit') this.#dequeue(job)
    if (this.#active.delete(job.job_id)) this.#places.add(job.tenant_id, -1)
  }

  /** Nearly always the last; of the same millisecond, who came first is first. */
  #enqueue(job: JobSnapshot): void {
    if (job.waiting_for) {
      this.#stalled.set(job.job_id, job)
      return
    }
    const queue = this.#waiting.get(job.tenant_id) ?? []
    const place = queue.findLastIndex((other) => other.submitted_at <= job.submitted_at) + 1
    queue.splice(place, 0, job)
    this.#waiting.set(job.tenant_id, queue)
  }

  /** Nearly always the first. */
  #dequeue({ tenant_id, job_id }: JobSnapshot): void {
    if (this.#stalled.delete(job_id)) return
    const queue = this.#waiting.get(tenant_id) ?? []
    const place = queue.findIndex((other) => other.job_id === job_id)
    if (place >= 0) queue.splice(place, 1)
    if (!queue.length) this.#waiting.delete(tenant_id)
  }
}

/** How many there are of each; of none nothing is kept. */
class Counts {
  readonly #counts = new Map<string, number>()

  get(of: string): number {
    return this.#counts.get(of) ?? 0
  }

  has(of: string): boolean {
    return this.#counts.has(of)
  }

  /** Null is counted nowhere. */
  add(of: string | null, change: number): void {
    if (of === null) return
    const count = this.get(of) + change
    if (count > 0) this.#counts.set(of, count)
    else this.#counts.delete(of)
  }
}
