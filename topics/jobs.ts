// jobs.v1: the whole job as one snapshot, one record for each change. Public: what anyone downstream follows, and what
// every worker tails to know what to do and what to skip. Key: job_id. Partition: murmur2(tenant_id).
// job-codec.ts has its bytes.
import type { Column } from './columns.ts'
import { compactedTopic } from './topic.ts'

export const jobsTopic = compactedTopic('jobs.v1')

export const JOB_STATUSES = [
  'submitted',
  'preparing',
  'running',
  'completing',
  'completed',
  'failed',
  'cancelled',
] as const
export type JobStatus = (typeof JOB_STATUSES)[number]

/** The ends of a job. */
export type TerminalStatus = Extract<JobStatus, 'completed' | 'failed' | 'cancelled'>

export const DESTINATIONS = ['table', 'parquet', 'csv', 'kafka'] as const
export type Destination = (typeof DESTINATIONS)[number]

export const WRITE_MODES = ['overwrite', 'append', 'upsert', 'error'] as const
export type WriteMode = (typeof WRITE_MODES)[number]

export const COMPRESSIONS = ['none', 'snappy', 'zstd', 'gzip'] as const
export type Compression = (typeof COMPRESSIONS)[number]

/** What to read. `connection` names a configured database. */
export interface JobInput {
  source: 'sql'
  query: string
  connection: string
  key_column: string | null
}

/** Where the predictions go. Fields that another destination needs are null. */
export interface JobOutput {
  destination: Destination
  connection: string | null
  table_name: string | null
  path: string | null
  topic: string | null
  format: 'avro' | 'json' | null
  mode: WriteMode
  columns: string[] | null
  /** Of an upsert: the columns that say which row is replaced. */
  key_columns: string[] | null
  compression: Compression | null
  /** Of files: a part is closed at about this size, in MiB before compression of the last row group. */
  target_file_mb: number | null
  /** Of CSV: text cells that a spreadsheet would run as a formula are made harmless. */
  formula_guard: boolean | null
}

/** An output of which nothing is known: what each destination fills in of it. */
export const BARE_OUTPUT: Omit<JobOutput, 'destination' | 'mode'> = {
  connection: null,
  table_name: null,
  path: null,
  topic: null,
  format: null,
  columns: null,
  key_columns: null,
  compression: null,
  target_file_mb: null,
  formula_guard: null,
}

/** How to run it; every default is filled in. */
export interface JobConfig {
  batch_size: number
  parallelism: number
  max_memory_gb: number
  timeout_minutes: number
  retry_count: number
  accelerator: 'cpu' | 'gpu' | 'auto'
  max_failed_rows: number
}

/** What a webhook may be sent for: the three ends of a job. */
export const WEBHOOK_EVENTS = ['completed', 'failed', 'cancelled'] as const satisfies readonly TerminalStatus[]

/**
 * `waiting` until the job is finished; then `pending` until it is `delivered`, or given up (`failed`); `not_wanted` when
 * the job came to an end that `events` does not name.
 */
export const WEBHOOK_STATES = ['waiting', 'pending', 'delivered', 'failed', 'not_wanted'] as const
export type WebhookState = (typeof WEBHOOK_STATES)[number]

/** Whom to tell that the job is finished, and how far that is. */
export interface JobWebhook {
  url: string
  events: TerminalStatus[]
  state: WebhookState
  /** Tries so far. */
  attempts: number
  last_attempt_at: bigint | null
  /** Null: at once, or no more. */
  next_attempt_at: bigint | null
  /** Why the last try failed. */
  last_error: string | null
}

/** Scorers of a kind: each pool has its own topic of chunks. */
export const POOLS = ['cpu', 'gpu'] as const
export type Pool = (typeof POOLS)[number]

/** Why a job stands still, and since when (ms since 1970). */
export interface JobWait {
  code: string
  message: string
  since: bigint
}

/** What a job stood still for, and until when. */
export interface JobPastWait extends JobWait {
  until: bigint
}

/** A state that a job came to (ms since 1970); `running` once for each attempt. */
export interface JobMoment {
  status: JobStatus
  attempt: number
  at: bigint
}

/** Why a job failed. `code` is stable, `message` says what to do about it. */
export interface JobError {
  code: string
  message: string
}

/**
 * What validation found out before the job was accepted; fixed for the whole job. `total_rows` is an estimate of the
 * planner when `rows_estimated`.
 */
export interface JobPlan {
  model_sha256: string
  query_columns: Column[]
  /** What a scored chunk has: every column that some output wants. */
  scored_columns: Column[]
  /** The columns of each output, in its order. */
  output_columns: Column[][]
  total_rows: bigint
  rows_estimated: boolean
}

/** One snapshot of a job. Times are milliseconds since 1970 (UTC); counts are those of the current attempt. */
export interface JobSnapshot {
  job_id: string
  tenant_id: string
  /** The schedule that made it, if one did. */
  schedule_id: string | null
  status: JobStatus
  model_id: string
  /** As asked for, else (from the plan on) the newest when the job was accepted; null before that. */
  model_version: number | null
  input: JobInput
  /** At least one. The rows are scored once for all of them. */
  outputs: JobOutput[]
  config: JobConfig
  /** SHA-256 of the request's canonical JSON: the same Idempotency-Key with another body is a conflict. */
  request_hash: string
  /** Null until a directly produced command has been validated. */
  plan: JobPlan | null
  /** Partitions of the chunk and scored topics that the job uses: from `preparing` until nothing staged is left. */
  lanes: number[]
  /** The scorers that score it; settled when it starts. */
  pool: Pool
  /** What it cannot go on without, while that is so. */
  waiting_for: JobWait | null
  /** What it could not go on without, oldest first: the last of them. */
  past_waits: JobPastWait[]
  /** The states that it came to after `submitted`, oldest first. */
  history: JobMoment[]
  /** 0 before it has started; then counts from 1. */
  attempt: number
  /** Attempts that failed, oldest first, with the reason. */
  failed_attempts: FailedAttempt[]
  /** The attempt whose output is prepared and whose read task is out. */
  prepared_attempt: number
  submitted_at: bigint
  /** When it entered `preparing`, the start of its deadline. */
  started_at: bigint | null
  finished_at: bigint | null
  read_rows: bigint
  processed_rows: bigint
  /** Rows that are durable in every output. */
  written_rows: bigint
  failed_rows: bigint
  /** The rows of each output that are durable; empty before the first. */
  output_rows: bigint[]
  /** What each output became; empty until the job is completed. */
  results: JobResult[]
  error: JobError | null
  webhook: JobWebhook | null
}

export interface FailedAttempt extends JobError {
  attempt: number
  at: bigint
}

/** A finished output: a qualified table name, the URL of a directory, a topic. */
export interface JobResult {
  location: string
  rows: bigint
  bytes: bigint
}

/** Whether a job in this status keeps it for ever. */
export function isTerminal(status: JobStatus): status is TerminalStatus {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}
