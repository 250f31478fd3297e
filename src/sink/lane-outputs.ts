// Which of a job's outputs a sink writes, and whether the job's attempt still wants any. Pure, but for what the process knows of the job.
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import { type SinkKind, sinkKind } from '../../topics/scored.ts'
import type { ProcessContext } from '../process.ts'

/** Which of the job's outputs this kind of sink writes. */
export function outputsOf(job: JobSnapshot, kind: SinkKind): number[] {
  return job.outputs.flatMap(({ destination }, output) => (sinkKind(destination) === kind ? [output] : []))
}

/**
 * Whether nothing of the attempt is left to be written. A job is `completing` when all lanes of all outputs are durable: what still
 * comes of it is a copy (a scorer took over a lane and scored again), and its staging may be gone before its end is known.
 */
export function isOver(job: JobSnapshot, { views }: Pick<ProcessContext, 'views'>): boolean {
  const now = views.jobs.get(job.job_id)
  return !now || isTerminal(now.status) || now.status === 'completing' || now.attempt !== job.attempt
}
