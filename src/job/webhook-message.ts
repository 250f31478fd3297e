// What a webhook says: that a job is finished, and how. Pure.
import type { JobSnapshot } from '../../topics/jobs.ts'
import { jobStatus, type LiveFigures, timeText } from './job-status.ts'

/** A finished job has no figures that still change. */
const AT_END: LiveFigures = { rowsPerSecond: 0, expectedMs: 0, ahead: 0 }

/** Names the message: the same in every try, so that a receiver can drop what it has. No full stop, as the standard asks. */
export function webhookId({ job_id, status }: JobSnapshot): string {
  return `${job_id}-${status}`
}

/** The body: the finished job as `GET …/batch/:job_id` shows it, but for the webhook itself; the same in every try. */
export function webhookBody(job: JobSnapshot): string {
  const finishedAt = job.finished_at ?? 0n
  const { webhook: _, ...data } = jobStatus(job, AT_END, Number(finishedAt))
  return JSON.stringify({ type: `job.${job.status}`, timestamp: timeText(finishedAt), data })
}
