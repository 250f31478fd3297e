// What the API says of a job: its snapshot, with the ledger's newer counts while it runs. Pure.
import Type, { type Static } from 'typebox'
import {
  JOB_STATUSES,
  type JobOutput,
  type JobResult,
  type JobSnapshot,
  type JobWebhook,
  POOLS,
  WEBHOOK_EVENTS,
  WEBHOOK_STATES,
} from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { isActive, laterRows } from './machine.ts'
import { estimatedCompletion, percentage, totals } from './progress.ts'

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const JobStatusBody = Type.Object(
  {
    job_id: Type.String(),
    status: Type.Enum([...JOB_STATUSES]),
    schedule_id: Nullable(Type.String({ description: 'The schedule that made it' })),
    model_id: Type.String(),
    model_version: Nullable(Type.Integer()),
    progress: Type.Object({
      total_rows: Type.Integer({
        description: 'Exact once everything is read; before that counted or estimated at submission',
      }),
      processed_rows: Type.Integer({ description: 'Rows of chunks that are scored and committed' }),
      percentage: Type.Integer({ minimum: 0, maximum: 100, description: '100 only when the result is readable' }),
      read_rows: Type.Integer(),
      written_rows: Type.Integer({ description: 'Rows that the sink has made durable' }),
      failed_rows: Type.Integer(),
      rows_per_second: Type.Integer({
        description: 'Rows scored, over the last seconds; of a finished job, over its whole run',
      }),
    }),
    submitted_at: Type.String(),
    started_at: Nullable(Type.String()),
    estimated_completion: Nullable(Type.String()),
    finished_at: Nullable(Type.String()),
    attempt: Type.Integer(),
    failed_attempts: Type.Array(
      Type.Object({
        attempt: Type.Integer(),
        error: Type.Object({ code: Type.String(), message: Type.String() }),
        at: Type.String(),
      }),
      { description: 'Attempts before this one, and why each ended' },
    ),
    queue_position: Nullable(
      Type.Integer({ description: 'Of a job that waits for one of its tenant’s places: 1 is the next to start' }),
    ),
    pool: Type.Enum([...POOLS], { description: 'The scorers that score it; settled when it starts' }),
    waiting_for: Nullable(
      Type.Object(
        { code: Type.String(), message: Type.String(), since: Type.String() },
        {
          description: 'What it stands still for, e.g. `gpu_worker`: no scorer of the gpu pool is alive',
        },
      ),
    ),
    past_waits: Type.Array(
      Type.Object({ code: Type.String(), message: Type.String(), since: Type.String(), until: Type.String() }),
      { description: 'What it stood still for before, oldest first' },
    ),
    history: Type.Array(
      Type.Object({ status: Type.Enum([...JOB_STATUSES]), attempt: Type.Integer(), at: Type.String() }),
      { description: 'The states that it came to after `submitted`, oldest first; `running` once for each attempt' },
    ),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    output: Type.Record(Type.String(), Type.Unknown(), { description: 'The first output, as it was understood' }),
    outputs: Type.Array(
      Type.Object({
        output: Type.Record(Type.String(), Type.Unknown()),
        written_rows: Type.Integer({ description: 'Rows that are durable in this output' }),
        result: Nullable(Type.Object({ location: Type.String(), rows: Type.Integer(), bytes: Type.Integer() })),
      }),
      { description: 'Each output with its own progress, and what it became' },
    ),
    webhook: Nullable(
      Type.Object(
        {
          url: Type.String(),
          events: Type.Array(Type.Enum([...WEBHOOK_EVENTS])),
          state: Type.Enum([...WEBHOOK_STATES], {
            description:
              '`waiting` for the end of the job, `pending` until it is `delivered` or given up (`failed`); `not_wanted` for an end that `events` does not name',
          }),
          attempts: Type.Integer({ description: 'Tries so far' }),
          last_attempt_at: Nullable(Type.String()),
          next_attempt_at: Nullable(Type.String()),
          last_error: Nullable(Type.String({ description: 'Why the last try failed' })),
        },
        { description: 'Whom the end of the job is told, and how far that is' },
      ),
    ),
  },
  { title: 'Job' },
)

export type JobStatusBody = Static<typeof JobStatusBody>

/** A job's counts as of now: never behind its snapshot. */
export function withLedger(job: JobSnapshot, entries: ReadonlyMap<string, ProgressEntry>): JobSnapshot {
  if (!isActive(job)) return job
  const now = totals(job, entries.values())
  const later = (a: bigint, b: bigint): bigint => (a > b ? a : b)
  return {
    ...job,
    read_rows: later(job.read_rows, now.read_rows),
    processed_rows: later(job.processed_rows, now.processed_rows),
    written_rows: later(job.written_rows, now.written_rows),
    failed_rows: later(job.failed_rows, now.failed_rows),
    output_rows: laterRows(job.output_rows, now.output_rows),
  }
}

/** What only a process that follows the job knows of it. */
export interface LiveFigures {
  /** Over the last seconds. */
  readonly rowsPerSecond: number
  /** What the whole job should take, from its start to its end. */
  readonly expectedMs: number
  /** How many of the tenant's waiting jobs start before this one. */
  readonly ahead: number
}

export function jobStatus(
  job: JobSnapshot,
  { rowsPerSecond, expectedMs, ahead }: LiveFigures,
  now: number,
): JobStatusBody {
  const { started_at, finished_at } = job
  const seconds = started_at !== null && finished_at !== null ? Number(finished_at - started_at) / 1000 : 0
  const rate = finished_at === null ? rowsPerSecond : seconds > 0 ? Number(job.processed_rows) / seconds : 0
  const eta = estimatedCompletion(job, rowsPerSecond, expectedMs, now)
  return {
    job_id: job.job_id,
    status: job.status,
    schedule_id: job.schedule_id,
    model_id: job.model_id,
    model_version: job.model_version,
    progress: {
      total_rows: Number(totalRows(job)),
      processed_rows: Number(job.processed_rows),
      percentage: percentage(job),
      read_rows: Number(job.read_rows),
      written_rows: Number(job.written_rows),
      failed_rows: Number(job.failed_rows),
      rows_per_second: Math.round(rate),
    },
    submitted_at: timeText(job.submitted_at),
    started_at: started_at === null ? null : timeText(started_at),
    estimated_completion: eta === null ? null : timeText(BigInt(Math.round(eta))),
    finished_at: finished_at === null ? null : timeText(finished_at),
    attempt: job.attempt,
    failed_attempts: job.failed_attempts.map(({ attempt, code, message, at }) => ({
      attempt,
      error: { code, message },
      at: timeText(at),
    })),
    queue_position: job.status === 'submitted' ? ahead + 1 : null,
    pool: job.pool,
    waiting_for: job.waiting_for && { ...job.waiting_for, since: timeText(job.waiting_for.since) },
    past_waits: job.past_waits.map(({ since, until, ...wait }) => ({
      ...wait,
      since: timeText(since),
      until: timeText(until),
    })),
    history: job.history.map(({ status, attempt, at }) => ({ status, attempt, at: timeText(at) })),
    error: job.error,
    output: job.outputs[0] ? shownOutput(job.outputs[0]) : {},
    outputs: job.outputs.map((output, i) => ({
      output: shownOutput(output),
      written_rows: Number(job.output_rows[i] ?? 0n),
      result: shownResult(job.results[i]),
    })),
    webhook: job.webhook && shownWebhook(job.webhook),
  }
}

/** Without the fields that belong to other destinations. */
function shownOutput(output: JobOutput): Record<string, unknown> {
  return Object.fromEntries(Object.entries(output).filter(([, value]) => value !== null))
}

function shownResult(result: JobResult | undefined): { location: string; rows: number; bytes: number } | null {
  return result ? { location: result.location, rows: Number(result.rows), bytes: Number(result.bytes) } : null
}

function shownWebhook({ url, events, state, attempts, last_attempt_at, next_attempt_at, last_error }: JobWebhook) {
  return {
    url,
    events,
    state,
    attempts,
    last_attempt_at: last_attempt_at === null ? null : timeText(last_attempt_at),
    next_attempt_at: next_attempt_at === null ? null : timeText(next_attempt_at),
    last_error,
  }
}

function totalRows(job: JobSnapshot): bigint {
  if (job.status === 'completing' || job.status === 'completed') return job.read_rows
  const planned = job.plan?.total_rows ?? 0n
  return job.read_rows > planned ? job.read_rows : planned
}

/** A time in ms since 1970, as ISO 8601 in UTC. */
export function timeText(ms: bigint): string {
  return new Date(Number(ms)).toISOString()
}
