// Jobs and ledger entries to start a test from: everything filled in, a test changes what it is about.
import { BARE_OUTPUT, type JobOutput, type JobPlan, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'

export const PLAN: JobPlan = {
  model_sha256: 'a'.repeat(64),
  query_columns: [{ name: 'customer_id', kind: 'int64', sqlType: 'bigint' }],
  scored_columns: [{ name: 'label', kind: 'int64', sqlType: 'bigint' }],
  output_columns: [[{ name: 'label', kind: 'int64', sqlType: 'bigint' }]],
  total_rows: 1000n,
  rows_estimated: false,
}

const TABLE: JobOutput = {
  ...BARE_OUTPUT,
  destination: 'table',
  connection: 'warehouse',
  table_name: 'predictions.churn_scores',
  mode: 'overwrite',
}

/** A job with a second output, into a table of another name. */
export function twoOutputs(job: JobSnapshot): JobSnapshot {
  const plan = job.plan && { ...job.plan, output_columns: [...job.plan.output_columns, job.plan.scored_columns] }
  return { ...job, plan, outputs: [...job.outputs, { ...TABLE, table_name: 'predictions.more' }] }
}

/** A job that was submitted and not planned yet. */
export function submitted(change: Partial<JobSnapshot> = {}): JobSnapshot {
  return {
    job_id: 'batch-1',
    tenant_id: 'acme',
    schedule_id: null,
    status: 'submitted',
    model_id: 'churn',
    model_version: null,
    input: { source: 'sql', query: 'SELECT * FROM customers', connection: 'warehouse', key_column: null },
    outputs: [TABLE],
    config: {
      batch_size: 100,
      parallelism: 2,
      max_memory_gb: 16,
      timeout_minutes: 60,
      retry_count: 3,
      accelerator: 'auto',
      max_failed_rows: 0,
    },
    request_hash: 'b'.repeat(64),
    plan: null,
    lanes: [],
    pool: 'cpu',
    waiting_for: null,
    past_waits: [],
    history: [],
    attempt: 0,
    failed_attempts: [],
    prepared_attempt: 0,
    submitted_at: 1_000n,
    started_at: null,
    finished_at: null,
    read_rows: 0n,
    processed_rows: 0n,
    written_rows: 0n,
    failed_rows: 0n,
    output_rows: [],
    results: [],
    error: null,
    webhook: null,
    ...change,
  }
}

/** A job in its first attempt, on lanes 0 and 1. */
export function running(change: Partial<JobSnapshot> = {}): JobSnapshot {
  return submitted({
    status: 'running',
    model_version: 3,
    plan: PLAN,
    lanes: [0, 1],
    attempt: 1,
    prepared_attempt: 1,
    started_at: 2_000n,
    ...change,
  })
}

/** A ledger entry of that job's first attempt. */
export function entry(change: Partial<ProgressEntry> & Pick<ProgressEntry, 'stage' | 'lane'>): ProgressEntry {
  return {
    job_id: 'batch-1',
    tenant_id: 'acme',
    attempt: 1,
    worker_id: 'worker-1',
    output: 0,
    offset: 10n,
    chunks: 1n,
    rows: 0n,
    failed_rows: 0n,
    bytes: 0n,
    done: false,
    error: null,
    position: null,
    sent: [],
    at: 3_000n,
    ...change,
  }
}
