// What the API says of a job: its snapshot, with the ledger's newer counts while it runs. Pure.
import Type, { type Static } from 'typebox'
import { JOB_STATUSES, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { isActive } from '../job/machine.ts'
import { estimatedCompletion, percentage, totals } from '../job/progress.ts'

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const JobStatusBody = Type.Object(
  {
    job_id: Type.String(),
    status: Type.Enum([...JOB_STATUSES]),
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
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    output: Type.Record(Type.String(), Type.Unknown()),
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
  }
}

/** `rowsPerSecond` is the rate of the last seconds. */
export function jobStatus(job: JobSnapshot, rowsPerSecond: number, now: number): JobStatusBody {
  const { started_at, finished_at } = job
  const seconds = started_at !== null && finished_at !== null ? Number(finished_at - started_at) / 1000 : 0
  const rate = finished_at === null ? rowsPerSecond : seconds > 0 ? Number(job.processed_rows) / seconds : 0
  const eta = estimatedCompletion(job, rowsPerSecond, now)
  return {
    job_id: job.job_id,
    status: job.status,
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
    error: job.error,
    output: Object.fromEntries(Object.entries(job.output).filter(([, value]) => value !== null)),
  }
}

function totalRows(job: JobSnapshot): bigint {
  if (job.status === 'completing' || job.status === 'completed') return job.read_rows
  const planned = job.plan?.total_rows ?? 0n
  return job.read_rows > planned ? job.read_rows : planned
}

function timeText(ms: bigint): string {
  return new Date(Number(ms)).toISOString()
}
