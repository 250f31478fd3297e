// A job's live events as server-sent events: one when it connects, one at each change of state, and progress a few times
// a second. The stream ends after the final state.
import type { ServerResponse } from 'node:http'
import { isTerminal, type JobSnapshot } from '../../../topics/jobs.ts'
import type { ProgressEntry } from '../../../topics/progress.ts'
import type { Views } from '../../kafka/views.ts'
import type { LiveJobs } from './live-jobs.ts'

const PROGRESS_MS = 250
/** A comment now and then keeps proxies from closing a quiet connection. */
const KEEP_ALIVE_MS = 15_000

/** Streams until the job is finished or the client goes away. */
export function streamJob(first: JobSnapshot, response: ServerResponse, views: Views, live: LiveJobs): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  let eventId = 0
  let timer: NodeJS.Timeout | undefined
  const send = (event: 'status' | 'progress', job: JobSnapshot): void => {
    response.write(`id: ${++eventId}\nevent: ${event}\ndata: ${JSON.stringify(live.status(job))}\n\n`)
  }
  let shown = first.status
  const onJob = (job: JobSnapshot): void => {
    if (job.job_id !== first.job_id) return
    if (job.status === shown && !isTerminal(job.status)) {
      onChange()
      return
    }
    shown = job.status
    send('status', job)
    if (isTerminal(job.status)) response.end()
  }
  const onProgress = (entry: ProgressEntry): void => {
    if (entry.job_id === first.job_id) onChange()
  }
  const onChange = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined
      const job = views.jobs.get(first.job_id)
      if (job && !isTerminal(job.status)) send('progress', job)
    }, PROGRESS_MS)
  }
  const keepAlive = setInterval(() => response.write(': still here\n\n'), KEEP_ALIVE_MS)
  response.on('close', () => {
    clearTimeout(timer)
    clearInterval(keepAlive)
    views.changes.off('job', onJob)
    views.changes.off('progress', onProgress)
  })
  views.changes.on('job', onJob)
  views.changes.on('progress', onProgress)
  send('status', first)
  if (isTerminal(first.status)) response.end()
}
