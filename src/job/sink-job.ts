// A job's current attempt as a connector sees it. Pure.
import type { SinkJob } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'

/** Throws when the job has no plan yet (a programming error: nothing is written for such a job). */
export function sinkJob(job: JobSnapshot): SinkJob {
  if (!job.plan || job.model_version === null) throw new Error(`job ${job.job_id} has no plan`)
  return {
    jobId: job.job_id,
    resultId: job.job_id,
    attempt: job.attempt,
    output: job.output,
    columns: job.plan.output_columns,
    keyColumn: job.input.key_column,
    chunkRows: job.config.batch_size,
    lanes: job.lanes,
    model: { id: job.model_id, version: job.model_version, sha256: job.plan.model_sha256 },
  }
}
