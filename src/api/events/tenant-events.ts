// The live events of all of a tenant's jobs on one connection, for a dashboard. Between two looks only the ids of changed
// jobs are kept, so a job that changes often is told once, and a slow client costs no more than these ids.
import type { FastifyReply } from 'fastify'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import type { ProgressEntry } from '../../../topics/progress.ts'
import type { Views } from '../../kafka/views.ts'
import type { LiveJobs } from '../jobs/live-jobs.ts'
import { EventStream } from './event-stream.ts'

/** Changes are told this often. */
const LOOK_MS = 250

/** Streams until the client goes away: at first what changed since `lastId`, or a greeting for one that is new. */
export function streamTenant(
  tenantId: string,
  lastId: bigint,
  reply: FastifyReply,
  views: Views,
  live: LiveJobs,
): void {
  const changed = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  const stream = new EventStream(reply, lastId, () => {
    clearTimeout(timer)
    views.changes.off('job', onJob)
    views.changes.off('jobGone', onGone)
    views.changes.off('progress', onProgress)
  })

  function onJob(job: JobSnapshot): void {
    if (job.tenant_id === tenantId) onChange(job.job_id)
  }

  function onProgress(entry: ProgressEntry): void {
    if (entry.tenant_id === tenantId && views.jobs.has(entry.job_id)) onChange(entry.job_id)
  }

  function onGone(job: JobSnapshot): void {
    if (job.tenant_id !== tenantId) return
    changed.delete(job.job_id)
    stream.send('gone', -1n, { job_id: job.job_id })
  }

  function onChange(jobId: string): void {
    changed.add(jobId)
    timer ??= setTimeout(tell, LOOK_MS)
  }

  /** In the order of the snapshots: whatever was not sent yet when the client goes away is after the id that it has. */
  function tell(): void {
    const jobs = [...changed].map((jobId) => ({ jobId, offset: views.offsetOf(jobId) }))
    for (const { jobId, offset } of jobs.sort((a, b) => (a.offset < b.offset ? -1 : 1))) {
      if (stream.isSlow) {
        stream.onDrain(tell)
        return
      }
      changed.delete(jobId)
      const job = views.jobs.get(jobId)
      if (job) stream.send('job', offset, live.status(job))
    }
    timer = undefined
  }

  views.changes.on('job', onJob)
  views.changes.on('jobGone', onGone)
  views.changes.on('progress', onProgress)
  const offsets = [...views.jobs.values()]
    .filter((job) => job.tenant_id === tenantId)
    .map(({ job_id }) => ({ job_id, offset: views.offsetOf(job_id) }))
  if (lastId < 0n) {
    const newest = offsets.reduce((last, { offset }) => (offset > last ? offset : last), -1n)
    stream.send('open', newest, { jobs: offsets.length })
  } else for (const { job_id, offset } of offsets) if (offset > lastId) onChange(job_id)
}
