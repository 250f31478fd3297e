// The life of a job as a pure function: state and event in, state out. No clock, no I/O.
//
//   submitted ──> preparing ──> running ──> completing ──> completed
//       │             │            │             │
//       └─────────────┴────────────┴─────────────┴──> failed | cancelled
//
// An attempt that fails for a passing reason keeps the status `running` and counts `attempt` up, until `retry_count`
// further attempts are used. What the controller has to do next follows from the state alone (`duty`), so a controller
// that takes over a partition goes on where the last one stopped.
import {
  isTerminal,
  type JobError,
  type JobPlan,
  type JobResult,
  type JobSnapshot,
  type JobWait,
  type Pool,
} from '../../topics/jobs.ts'
import { cut, MESSAGE_CHARS } from '../cut.ts'
import { recorded } from './history.ts'
import { type WebhookTry, webhookAtEnd, webhookTried } from './webhook.ts'

export type JobEvent =
  | { readonly type: 'planned'; readonly plan: JobPlan; readonly modelVersion: number }
  | { readonly type: 'admitted'; readonly pool: Pool; readonly lanes: readonly number[]; readonly at: number }
  /** It lacks something (null: nothing any more). */
  | { readonly type: 'waits'; readonly lack: Omit<JobWait, 'since'> | null; readonly at: number }
  /** Its pool has no scorers, and it goes on in the cpu pool as a new attempt. */
  | { readonly type: 'moved'; readonly error: JobError; readonly at: number }
  | { readonly type: 'prepared'; readonly attempt: number; readonly at: number }
  | { readonly type: 'progressed'; readonly totals: Totals }
  | { readonly type: 'delivered'; readonly attempt: number; readonly at: number }
  | { readonly type: 'finalised'; readonly results: readonly JobResult[]; readonly at: number }
  | {
      readonly type: 'attempt-failed'
      readonly attempt: number
      readonly error: JobError
      readonly retriable: boolean
      readonly at: number
    }
  | { readonly type: 'failed'; readonly error: JobError; readonly at: number }
  | { readonly type: 'cancelled'; readonly at: number }
  | { readonly type: 'cleaned' }
  | ({ readonly type: 'webhook-tried' } & WebhookTry)

export type Totals = Pick<JobSnapshot, 'read_rows' | 'processed_rows' | 'written_rows' | 'failed_rows' | 'output_rows'>

export const NO_ROWS: Totals = {
  read_rows: 0n,
  processed_rows: 0n,
  written_rows: 0n,
  failed_rows: 0n,
  output_rows: [],
}

/** What the controller does for a job in this state; null: nothing but wait. Every duty may be repeated. */
export type Duty = 'plan' | 'admit' | 'prepare' | 'finalise' | 'clean'

export function duty(job: JobSnapshot): Duty | null {
  switch (job.status) {
    case 'submitted':
      return job.plan ? 'admit' : 'plan'
    case 'preparing':
    case 'running':
      return job.prepared_attempt < job.attempt ? 'prepare' : null
    case 'completing':
      return 'finalise'
    case 'completed':
      return null
    case 'failed':
    case 'cancelled':
      // `lanes` are given back when what was staged is gone.
      return job.lanes.length ? 'clean' : null
  }
}

/** The state after an event, or the same object when the event does not apply to this state. */
export function next(job: JobSnapshot, event: JobEvent): JobSnapshot {
  if (isTerminal(job.status)) return afterEnd(job, event)
  const after = 'at' in event ? recorded(job, step(job, event), event.at) : step(job, event)
  const { status, webhook } = after
  return webhook && isTerminal(status) ? { ...after, webhook: webhookAtEnd(webhook, status) } : after
}

/** What may still change of a finished job: what is left behind, and who has been told. */
function afterEnd(job: JobSnapshot, event: JobEvent): JobSnapshot {
  if (event.type === 'cleaned') return job.lanes.length ? { ...job, lanes: [] } : job
  if (event.type === 'webhook-tried' && job.webhook?.state === 'pending')
    return { ...job, webhook: webhookTried(job.webhook, event) }
  return job
}

function step(job: JobSnapshot, event: JobEvent): JobSnapshot {
  switch (event.type) {
    case 'cleaned':
    case 'webhook-tried':
      return job
    case 'planned':
      return job.status === 'submitted' && !job.plan
        ? { ...job, plan: event.plan, model_version: event.modelVersion }
        : job
    case 'admitted':
      return job.status === 'submitted' && job.plan
        ? {
            ...job,
            status: 'preparing',
            pool: event.pool,
            waiting_for: null,
            lanes: [...event.lanes],
            attempt: 1,
            started_at: BigInt(event.at),
          }
        : job
    case 'waits':
      if (job.status === 'completing' || job.waiting_for?.code === event.lack?.code) return job
      return { ...job, waiting_for: event.lack && { ...event.lack, since: BigInt(event.at) } }
    case 'moved': {
      const may = isWorking(job) && job.pool !== 'cpu' && job.attempt <= job.config.retry_count
      return may ? { ...anotherAttempt(job, event), pool: 'cpu', waiting_for: null } : job
    }
    case 'prepared':
      return isWorking(job) && event.attempt === job.attempt
        ? { ...job, status: 'running', prepared_attempt: event.attempt }
        : job
    case 'progressed':
      return isWorking(job) || job.status === 'completing' ? grown(job, event.totals) : job
    case 'delivered':
      return job.status === 'running' && event.attempt === job.attempt
        ? { ...job, status: 'completing', waiting_for: null }
        : job
    case 'finalised':
      return job.status === 'completing'
        ? { ...job, status: 'completed', lanes: [], results: [...event.results], finished_at: BigInt(event.at) }
        : job
    case 'attempt-failed': {
      if (!isWorking(job) || event.attempt !== job.attempt) return job
      if (!event.retriable) return fail(tried(job, event), event.error, event.at)
      if (job.attempt > job.config.retry_count) return fail(tried(job, event), afterRetries(job, event.error), event.at)
      return anotherAttempt(job, event)
    }
    case 'failed':
      return fail(job, event.error, event.at)
    case 'cancelled':
      // While the result is being made visible it is too late: that is all or nothing, and may be done already.
      return job.status === 'completing'
        ? job
        : { ...job, status: 'cancelled', waiting_for: null, finished_at: BigInt(event.at) }
  }
}

/**
 * When a job must be finished, in ms since 1970; null before it has started. One that cannot start for want of a worker does
 * not wait longer than it may run.
 */
export function deadline(job: JobSnapshot): number | null {
  const from = job.started_at ?? job.waiting_for?.since
  return from === undefined || isTerminal(job.status) ? null : Number(from) + job.config.timeout_minutes * 60_000
}

/** Why a job that is past its deadline failed. `state` says what it was at, or what to do. */
export function timeoutError(job: JobSnapshot, state: string): JobError {
  return { code: 'timeout', message: `not finished within ${job.config.timeout_minutes} minutes: ${state}` }
}

/** When a job will have been kept for its time, in ms since 1970; null before it is finished, with nothing left to clean up. */
export function outlivedAt(job: JobSnapshot, ttlHours: number): number | null {
  return job.finished_at === null || duty(job) !== null ? null : Number(job.finished_at) + ttlHours * 3_600_000
}

/** Whether a job takes one of its tenant's places. */
export function isActive(job: JobSnapshot): boolean {
  return job.status === 'preparing' || job.status === 'running' || job.status === 'completing'
}

function isWorking(job: JobSnapshot): boolean {
  return job.status === 'preparing' || job.status === 'running'
}

/** Counts of an attempt only grow: a scorer that took over a lane counts its failed rows from zero. */
function grown(job: JobSnapshot, totals: Totals): JobSnapshot {
  const counts = ['read_rows', 'processed_rows', 'written_rows', 'failed_rows'] as const
  const more = counts.filter((count) => totals[count] > job[count])
  const outputsGrew = totals.output_rows.some((rows, output) => rows > (job.output_rows[output] ?? 0n))
  if (!more.length && !outputsGrew) return job
  return {
    ...job,
    ...Object.fromEntries(more.map((count) => [count, totals[count]])),
    output_rows: laterRows(job.output_rows, totals.output_rows),
  }
}

/** The larger count of each output. */
export function laterRows(before: readonly bigint[], now: readonly bigint[]): bigint[] {
  return now.map((rows, output) => {
    const known = before[output] ?? 0n
    return rows > known ? rows : known
  })
}

function fail(job: JobSnapshot, error: JobError, at: number): JobSnapshot {
  return {
    ...job,
    status: 'failed',
    error: shortened(error, MESSAGE_CHARS),
    waiting_for: null,
    finished_at: BigInt(at),
  }
}

function tried(job: JobSnapshot, { error, at }: { error: JobError; at: number }): JobSnapshot {
  const failed = { ...shortened(error, ATTEMPT_MESSAGE_CHARS), attempt: job.attempt, at: BigInt(at) }
  return { ...job, failed_attempts: [...job.failed_attempts, failed] }
}

/** A job may have a hundred of these, and its snapshot must fit in one record. */
const ATTEMPT_MESSAGE_CHARS = 2_000

/** Messages of databases may quote the whole query. */
function shortened(error: JobError, chars: number): JobError {
  return { ...error, message: cut(error.message, chars) }
}

function anotherAttempt(job: JobSnapshot, why: { error: JobError; at: number }): JobSnapshot {
  return { ...tried(job, why), ...NO_ROWS, attempt: job.attempt + 1 }
}

function afterRetries(job: JobSnapshot, error: JobError): JobError {
  return {
    code: error.code,
    message: `${error.message} (attempt ${job.attempt} of ${job.config.retry_count + 1}; none left)`,
  }
}
