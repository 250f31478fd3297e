// Which scorers a job is for, and what becomes of it when there are none of them. Pure.
import type { JobConfig, JobSnapshot, JobWait, Pool } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { WORKER_LOST_MS, type WorkerHeartbeat } from '../../topics/workers.ts'

/** Pools that have a scorer. */
export type LivePools = ReadonlySet<Pool>

/**
 * How long a job with `accelerator: auto` waits for a gpu worker that was there when it started. A worker that dies is taken
 * for alive for `WORKER_LOST_MS` and started again within seconds: by then it is back, or will not be soon.
 */
export const MOVE_AFTER_MS = 20_000

/** The pools with a scorer that was heard of lately. */
export function livePools(workers: Iterable<WorkerHeartbeat>, at: number): LivePools {
  const live = new Set<Pool>()
  for (const { role, pool, at: heard } of workers) {
    if (role === 'scorer' && at - Number(heard) < WORKER_LOST_MS) live.add(pool as Pool)
  }
  return live
}

/** The pool of a job that starts now; null: it has to wait for a gpu worker. */
export function poolFor(accelerator: JobConfig['accelerator'], live: LivePools): Pool | null {
  if (accelerator === 'cpu') return 'cpu'
  if (live.has('gpu')) return 'gpu'
  return accelerator === 'auto' ? 'cpu' : null
}

/** What a job that has not finished lacks; null: nothing. `entries` is its ledger. */
export function lack(
  job: JobSnapshot,
  entries: Iterable<ProgressEntry>,
  live: LivePools,
): Omit<JobWait, 'since'> | null {
  if (job.status === 'completing') return null
  if (job.status === 'submitted') {
    return job.plan && poolFor(job.config.accelerator, live) === null ? noWorker('gpu') : null
  }
  return live.has(job.pool) || isScored(job, entries) ? null : noWorker(job.pool)
}

/**
 * Whether a job that lost its gpu workers goes on in the cpu pool, as a new attempt. One that asked for a GPU does not; nor
 * does one whose rows are in a topic already, for no further attempt can take them back.
 */
export function shouldMove(job: JobSnapshot, at: number): boolean {
  const { waiting_for, config, pool, attempt, outputs, output_rows } = job
  if (waiting_for === null || pool !== 'gpu' || config.accelerator !== 'auto') return false
  if (at - Number(waiting_for.since) < MOVE_AFTER_MS || attempt > config.retry_count) return false
  return !outputs.some(({ destination }, i) => destination === 'kafka' && (output_rows[i] ?? 0n) > 0n)
}

/** Whether every chunk of the attempt is scored: it needs no scorer any more. */
function isScored(job: JobSnapshot, entries: Iterable<ProgressEntry>): boolean {
  const lanes = new Set(job.lanes)
  for (const { stage, attempt, done, lane } of entries)
    if (stage === 'score' && attempt === job.attempt && done) lanes.delete(lane)
  return job.lanes.length > 0 && lanes.size === 0
}

function noWorker(pool: Pool): Omit<JobWait, 'since'> {
  const instead = pool === 'gpu' ? ', or submit the job with config.accelerator "cpu" or "auto"' : ''
  return {
    code: `${pool}_worker`,
    message: `no scorer of the ${pool} pool is alive: start one with SCORER_POOL=${pool}${instead}`,
  }
}
