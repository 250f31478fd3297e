// Whether a chunk or a read task is still wanted: its job is running, and this is its current attempt. Every worker
// asks before it works, so the chunks of a cancelled, failed or superseded attempt are skipped at once everywhere.
import type { ChunkId } from '../../topics/chunks.ts'
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import type { Views } from './views.ts'

/** The job that a chunk or read task is for, if it is wanted. */
export async function wantedJob(views: Views, id: Pick<ChunkId, 'jobId' | 'attempt'>): Promise<JobSnapshot | null> {
  const job = await views.findJob(id.jobId)
  if (!job || isTerminal(job.status) || id.attempt < job.attempt) return null
  if (id.attempt === job.attempt) return job
  // An attempt that this process has not heard of: the snapshot is on its way. A job that waited for a place is known as attempt 0.
  await views.caughtUp()
  const newer = views.jobs.get(id.jobId)
  return newer && !isTerminal(newer.status) && newer.attempt === id.attempt ? newer : null
}

/** Resolves when the job is known, or after so long: for what was written together with its snapshot, and may have come before it. */
export async function knownWithin({ jobs, changes }: Views, jobId: string, ms: number): Promise<void> {
  if (jobs.has(jobId)) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const onJob = ({ job_id }: JobSnapshot): void => {
    if (job_id === jobId) resolve()
  }
  changes.on('job', onJob)
  const timer = setTimeout(resolve, ms)
  await promise
  clearTimeout(timer)
  changes.off('job', onJob)
}

/** Runs `work` with a signal that aborts when the job is over or gone, or has another attempt. */
export async function untilOver<T>(
  views: Views,
  job: JobSnapshot,
  work: (over: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const look = (now: JobSnapshot | undefined): void => {
    if (!now || isTerminal(now.status) || now.attempt !== job.attempt) over.abort()
  }
  const onJob = (change: JobSnapshot): void => {
    if (change.job_id === job.job_id) look(change)
  }
  const onGone = ({ job_id }: JobSnapshot): void => {
    if (job_id === job.job_id) over.abort()
  }
  views.changes.on('job', onJob)
  views.changes.on('jobGone', onGone)
  try {
    look(views.jobs.get(job.job_id))
    return await work(over.signal)
  } finally {
    views.changes.off('job', onJob)
    views.changes.off('jobGone', onGone)
  }
}
