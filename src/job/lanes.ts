// Which lanes a job gets. Pure.
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'

/**
 * How many lanes a job can use: no more than it has chunks, where its rows are known. A lane costs its opening and its end at
 * every stage, which for a job of one chunk is most of the work.
 */
export function laneCount({ plan, config }: Pick<JobSnapshot, 'plan' | 'config'>): number {
  if (!plan || plan.rows_estimated) return config.parallelism
  const chunks = Math.ceil(Number(plan.total_rows) / config.batch_size)
  return Math.max(1, Math.min(config.parallelism, chunks))
}

/**
 * The `count` least loaded of `total` lanes, by the number of unfinished jobs that use them; of equals, the lowest
 * first. Neighbouring lanes belong to different scorers, so a job's lanes spread over all of them.
 */
export function chooseLanes(jobs: Iterable<JobSnapshot>, total: number, count: number): number[] {
  const load = new Array<number>(total).fill(0)
  for (const job of jobs) {
    if (isTerminal(job.status)) continue
    for (const lane of job.lanes) load[lane] = (load[lane] ?? 0) + 1
  }
  return load
    .map((jobsOnLane, lane) => ({ jobsOnLane, lane }))
    .sort((a, b) => a.jobsOnLane - b.jobsOnLane || a.lane - b.lane)
    .slice(0, count)
    .map(({ lane }) => lane)
    .sort((a, b) => a - b)
}
