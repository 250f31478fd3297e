// Which of a job's outputs a sink writes, and whether the job's attempt still wants any. Pure, but for what the process knows of the job.
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import { type SinkKind, sinkKind } from '../../topics/scored.ts'
import type { ProcessContext } from '../process.ts'

/** Which of the job's outputs this kind of sink writes. */
export function outputsOf(job: JobSnapshot, kind: SinkKind): number[] {
  return job.outputs.flatMap(({ destination }, output) => (sinkKind(destination) === kind ? [output] : []))
}

export function isOver(job: JobSnapshot, { views }: Pick<ProcessContext, 'views'>): boolean {
  const now = views.jobs.get(job.job_id)
  return !now || isTerminal(now.status) || now.attempt !== job.attempt
}
