// Which lanes a job gets. Pure.
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'

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
