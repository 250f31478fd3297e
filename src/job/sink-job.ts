// A job's current attempt as a connector sees it, for each of the job's outputs. Pure.
import type { SinkJob } from '../../connectors/connector.ts'
import type { JobOutput, JobSnapshot } from '../../topics/jobs.ts'

/** Throws when the job has no plan yet (a programming error: nothing is written for such a job). */
export function sinkJob(job: JobSnapshot, output: number): SinkJob {
  if (!job.plan || job.model_version === null) throw new Error(`job ${job.job_id} has no plan`)
  return {
    jobId: job.job_id,
    resultId: output === 0 ? job.job_id : `${job.job_id}.${output}`,
    attempt: job.attempt,
    output: job.outputs[output] as JobOutput,
    columns: job.plan.output_columns[output] ?? [],
    keyColumn: job.input.key_column,
    chunkRows: job.config.batch_size,
    lanes: job.lanes,
    model: { id: job.model_id, version: job.model_version, sha256: job.plan.model_sha256 },
  }
}
