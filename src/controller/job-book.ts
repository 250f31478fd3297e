// The jobs of one partition, and what has changed since they were last written. All decisions of the controller happen
// here, on plain data: commands, ledger entries, outcomes of duties and the clock go in, snapshots come out.
import type { CancelCommand, SubmitCommand } from '../../topics/commands.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import type { Schedule } from '../../topics/schedules.ts'
import { LANES } from '../../topics/topic.ts'
import { chooseLanes, laneCount } from '../job/lanes.ts'
import { deadline, isActive, type JobEvent, next, outlivedAt, timeoutError } from '../job/machine.ts'
import { type LivePools, lack, MOVE_AFTER_MS, poolFor, shouldMove } from '../job/pools.ts'
import { delivery, stageError, totals } from '../job/progress.ts'
import { newJob, type Origin, plannedByApi, submittedJobId } from './command-record.ts'
import { DueTimes } from './due-times.ts'
import { OpenJobs } from './open-jobs.ts'

export interface BookLimits {
  /** Jobs of a tenant that may be active at once. */
  readonly maxConcurrentJobs: number
  readonly defaultParallelism: number
  /** How long a finished job is kept. */
  readonly resultTtlHours: number
}

export class JobBook {
  readonly #jobs = new Map<string, JobSnapshot>()
  readonly #open = new OpenJobs()
  readonly #limits: BookLimits
  /** Finished jobs by when their webhook is to be tried. */
  readonly #undelivered = new DueTimes()
  /** Finished jobs by when their time is up. */
  readonly #ends = new DueTimes()
  #changed: JobSnapshot[] = []
  #forgotten: string[] = []

  constructor(jobs: Iterable<JobSnapshot>, limits: BookLimits) {
    this.#limits = limits
    for (const job of jobs) this.#set(job.job_id, job)
  }

  get(jobId: string): JobSnapshot | undefined {
    return this.#jobs.get(jobId)
  }

  /** Jobs that are under way: their ledgers and deadlines are looked at. */
  active(): JobSnapshot[] {
    return [...this.#open.active()]
  }

  /** Jobs whose duty is to be carried out now. */
  due(): JobSnapshot[] {
    return [...this.#open.due()]
  }

  /** Every snapshot since the last call, in order: one for each change. */
  takeChanges(): JobSnapshot[] {
    const changes = this.#changed
    this.#changed = []
    return changes
  }

  /** Ids of the jobs that are gone since the last call. */
  takeForgotten(): string[] {
    const forgotten = this.#forgotten
    this.#forgotten = []
    return forgotten
  }

  /** Finished jobs whose time is up. */
  outlived(at: number): JobSnapshot[] {
    return this.#dueIn(this.#ends, at)
  }

  /** Finished jobs whose webhook is due. */
  undelivered(at: number): JobSnapshot[] {
    return this.#dueIn(this.#undelivered, at)
  }

  /** The job and what it wrote are gone. */
  forget(jobId: string): void {
    if (!this.#jobs.has(jobId)) return
    this.#set(jobId, undefined)
    this.#forgotten.push(jobId)
  }

  /** Applies an event; whether it changed anything. */
  apply(jobId: string, event: JobEvent): boolean {
    const job = this.#jobs.get(jobId)
    if (!job) return false
    const after = next(job, event)
    if (after === job) return false
    this.#put(after)
    return true
  }

  /** Carries out a command. Returns why it could not be, or null. A repeated command changes nothing. */
  command(command: SubmitCommand | CancelCommand, origin: Origin, at: number): string | null {
    if (command.type === 'cancel') {
      const job = this.#jobs.get(command.job_id)
      if (!job || job.tenant_id !== command.tenant_id) return `tenant ${command.tenant_id} has no job ${command.job_id}`
      this.apply(job.job_id, { type: 'cancelled', at })
      return null
    }
    const jobId = submittedJobId(command, origin)
    const job = newJob(command, jobId, { parallelism: this.#limits.defaultParallelism }, at)
    const existing = this.#jobs.get(jobId)
    if (existing) {
      return existing.request_hash === job.request_hash
        ? null
        : `job ${jobId} exists with another body; use another idempotency_key`
    }
    // A plan is the API's own; one that cannot be for this job came from somebody else, and the job is planned here.
    const planned = command.plan?.output_columns.length === job.outputs.length ? plannedByApi(command.plan) : null
    const ready = planned && next(job, { type: 'planned', plan: planned.plan, modelVersion: planned.modelVersion })
    this.#put(ready && isWritable(ready) ? ready : job)
    return null
  }

  /** The job of a schedule's firing, planned like a direct command's. One that is there already stays as it is. */
  fire({ schedule_id, tenant_id, job: request }: Schedule, jobId: string, at: number): void {
    if (this.#jobs.has(jobId)) return
    const command: SubmitCommand = { type: 'submit', tenant_id, job: JSON.parse(request) }
    const job = newJob(command, jobId, { parallelism: this.#limits.defaultParallelism }, at)
    this.#put({ ...job, schedule_id })
  }

  /** Whether a job of the schedule is not finished. */
  isBusy(scheduleId: string): boolean {
    return this.#open.isBusy(scheduleId)
  }

  /** Draws the consequences of a job's ledger. `withTotals` also takes over the counts. */
  ledger(jobId: string, entries: ReadonlyMap<string, ProgressEntry>, withTotals: boolean, at: number): void {
    const job = this.#jobs.get(jobId)
    if (!job || !isActive(job)) return
    const error = stageError(job, entries.values())
    const delivered = error ? null : delivery(job, entries.values())
    if (withTotals || error || delivered)
      this.apply(jobId, { type: 'progressed', totals: totals(job, entries.values()) })
    if (error) {
      this.apply(jobId, {
        type: 'attempt-failed',
        attempt: job.attempt,
        error: { code: error.code, message: error.message },
        retriable: error.retriable,
        at,
      })
      return
    }
    const failedRows = (this.#jobs.get(jobId) as JobSnapshot).failed_rows
    if (failedRows > BigInt(job.config.max_failed_rows)) {
      const message = `${failedRows} rows could not be scored and max_failed_rows is ${job.config.max_failed_rows}; see the job's errors for the reasons`
      this.apply(jobId, { type: 'failed', error: { code: 'too_many_failed_rows', message }, at })
      return
    }
    if (!delivered) return
    const short = delivered.outputs.find(({ written, failed }) => written + failed !== delivered.read)
    if (!short) {
      this.apply(jobId, { type: 'delivered', attempt: job.attempt, at })
      return
    }
    const message = `${delivered.read} rows were read, ${short.written} written and ${short.failed} failed; please report this`
    this.apply(jobId, { type: 'failed', error: { code: 'rows_lost', message }, at })
  }

  /** Says which jobs stand still for want of scorers, and moves those that may go on with others. */
  lookForScorers(entriesOf: (jobId: string) => ReadonlyMap<string, ProgressEntry>, live: LivePools, at: number): void {
    for (const job of [...this.active(), ...this.#open.stalled()]) {
      const { job_id } = job
      this.apply(job_id, { type: 'waits', lack: lack(job, entriesOf(job_id).values(), live), at })
      const now = this.#jobs.get(job_id) as JobSnapshot
      if (!live.has('cpu') || !shouldMove(now, at)) continue
      const message = `no scorer of the gpu pool was alive for ${MOVE_AFTER_MS / 1000} seconds; it goes on in the cpu pool`
      this.apply(job_id, { type: 'moved', error: { code: 'gpu_workers_lost', message }, at })
    }
  }

  /**
   * Fails what is past its deadline; but not what is `completing`: only the destination knows whether the result is visible
   * already, so that duty keeps the deadline itself.
   */
  expire(at: number): void {
    for (const job of [...this.active(), ...this.#open.stalled()]) {
      const end = deadline(job)
      if (end === null || at < end || job.status === 'completing') continue
      const error = timeoutError(job, job.waiting_for?.message ?? 'raise config.timeout_minutes or parallelism')
      this.apply(job.job_id, { type: 'failed', error, at })
    }
  }

  /** Lets waiting jobs start, in the order of their submission, as far as their tenants have places. */
  admit(everywhere: Iterable<JobSnapshot>, at: number, live: LivePools): void {
    let elsewhere: JobSnapshot[] | undefined
    // Each turn starts its jobs, or takes them out of the queue: the place is then for whoever comes after them.
    for (let starting = this.#next(); starting.length; starting = this.#next()) {
      elsewhere ??= [...everywhere].filter((job) => !this.#jobs.has(job.job_id))
      for (const job of starting) {
        const pool = poolFor(job.config.accelerator, live)
        if (pool === null) this.apply(job.job_id, { type: 'waits', lack: lack(job, [], live), at })
        else {
          const lanes = chooseLanes([...elsewhere, ...this.#open.active()], LANES, laneCount(job))
          this.apply(job.job_id, { type: 'admitted', pool, lanes, at })
        }
      }
    }
  }

  #next(): JobSnapshot[] {
    return this.#open.next(this.#limits.maxConcurrentJobs)
  }

  #put(job: JobSnapshot): void {
    this.#set(job.job_id, job)
    this.#changed.push(job)
  }

  #set(jobId: string, job: JobSnapshot | undefined): void {
    this.#open.changed(this.#jobs.get(jobId), job)
    if (job) this.#jobs.set(jobId, job)
    else this.#jobs.delete(jobId)
    this.#ends.set(jobId, job ? outlivedAt(job, this.#limits.resultTtlHours) : null)
    const webhook = job?.webhook
    this.#undelivered.set(jobId, webhook?.state === 'pending' ? Number(webhook.next_attempt_at ?? 0n) : null)
  }

  #dueIn(times: DueTimes, at: number): JobSnapshot[] {
    return times.due(at).map((jobId) => this.#jobs.get(jobId) as JobSnapshot)
  }
}

/** Whether the snapshot can be written down: a plan that came along may hold anything. */
function isWritable(job: JobSnapshot): boolean {
  try {
    jobCodec.encode(job)
    return true
  } catch {
    return false
  }
}
