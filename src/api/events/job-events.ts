// A job's live events: one when the client connects, one at each change of state, progress a few times a second. The
// stream ends after the final state.
import type { FastifyReply } from 'fastify'
import { isTerminal, type JobSnapshot } from '../../../topics/jobs.ts'
import type { ProgressEntry } from '../../../topics/progress.ts'
import type { Views } from '../../kafka/views.ts'
import type { LiveJobs } from '../jobs/live-jobs.ts'
import { EventStream } from './event-stream.ts'

const PROGRESS_MS = 250

/** Streams until the job is finished or the client goes away. */
export function streamJob(first: JobSnapshot, lastId: bigint, reply: FastifyReply, views: Views, live: LiveJobs): void {
  const offset = views.offsetOf(first.job_id)
  // A client connects again whenever a stream ends, the last time too; 204 tells it to stop.
  if (isTerminal(first.status) && lastId >= offset) {
    reply.status(204).send()
    return
  }
  let timer: NodeJS.Timeout | undefined
  let shown = first.status
  const stream = new EventStream(reply, lastId, () => {
    clearTimeout(timer)
    views.changes.off('job', onJob)
    views.changes.off('progress', onProgress)
  })
  const send = (event: 'status' | 'progress', job: JobSnapshot): void =>
    stream.send(event, views.offsetOf(job.job_id), live.status(job))

  function onJob(job: JobSnapshot): void {
    if (job.job_id !== first.job_id) return
    if (job.status === shown && !isTerminal(job.status)) {
      onChange()
      return
    }
    shown = job.status
    send('status', job)
    if (isTerminal(job.status)) stream.end()
  }

  function onProgress({ job_id }: ProgressEntry): void {
    if (job_id === first.job_id) onChange()
  }

  function onChange(): void {
    timer ??= setTimeout(() => {
      timer = undefined
      const job = views.jobs.get(first.job_id)
      // What a slow client misses, the next event has.
      if (job && !isTerminal(job.status) && !stream.isSlow) send('progress', job)
    }, PROGRESS_MS)
  }

  views.changes.on('job', onJob)
  views.changes.on('progress', onProgress)
  if (offset > lastId) send('status', first)
  if (isTerminal(first.status)) stream.end()
}
