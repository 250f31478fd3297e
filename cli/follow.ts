// Follows a job to its end: a progress bar redrawn in place on a terminal, a line for each change of state and now and then
// one of progress in a log.
import type { JobStatusBody } from '../src/job/job-status.ts'
import { type Client, EXIT } from './client.ts'
import { progressLine } from './show.ts'

/** In a log, a line of progress at most this often. */
const LOG_MS = 5_000

export interface Output {
  readonly isTTY?: boolean | undefined
  write(text: string): unknown
}

/** Resolves with the job's final state. Progress goes to `output`: stderr, where stdout has JSON. */
export async function followJob(
  client: Client,
  jobId: string,
  output: Output,
  signal?: AbortSignal,
): Promise<JobStatusBody> {
  let last: JobStatusBody | undefined
  let [shown, waiting]: (string | undefined)[] = ['', undefined]
  let loggedAt = Date.now()
  for await (const job of client.follow(jobId, signal)) {
    last = job
    if (job.status !== shown) {
      shown = job.status
      line(output, `${new Date().toISOString().slice(11, 19)}  ${job.status}${reason(job)}`)
    }
    if (job.waiting_for?.code !== waiting) {
      waiting = job.waiting_for?.code
      if (job.waiting_for) line(output, `          stands still: ${job.waiting_for.message}`)
    }
    if (job.status !== 'running' && job.status !== 'completing') continue
    if (output.isTTY) output.write(`\r\x1b[K${progressLine(job, Date.now())}`)
    else if (Date.now() - loggedAt >= LOG_MS) {
      loggedAt = Date.now()
      line(output, progressLine(job, Date.now()))
    }
  }
  // `follow` ends after a final state only.
  return last as JobStatusBody
}

/** What a script learns of a finished job. */
export function exitCodeOf({ status }: JobStatusBody): number {
  return { completed: EXIT.ok, cancelled: EXIT.cancelled }[status as string] ?? EXIT.failed
}

function reason({ queue_position, error }: JobStatusBody): string {
  if (error) return `: ${error.message} (${error.code})`
  return queue_position ? `, place ${queue_position} in the queue` : ''
}

function line(output: Output, text: string): void {
  output.write(output.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`)
}
