// What happened to a job, in order: its states and attempts, with what each took or waited for. Pure.
import { isFinished, type Job } from '../client/types.ts'

export interface Moment {
  readonly at: string
  readonly title: string
  readonly detail: string | null
  readonly tone: 'calm' | 'live' | 'good' | 'bad'
  /** Until the next moment, in ms; null for the last one. */
  readonly lastedMs: number | null
}

export function timelineOf(job: Job, now: number): Moment[] {
  const moments: Omit<Moment, 'lastedMs'>[] = [
    { at: job.submitted_at, title: 'Submitted', detail: waitOf(job), tone: 'calm' },
  ]
  if (job.started_at !== null)
    moments.push({
      at: job.started_at,
      title: 'Started',
      detail: 'It got a place and its lanes; the output was prepared',
      tone: 'live',
    })
  for (const { attempt, error, at } of job.failed_attempts)
    moments.push({ at, title: `Attempt ${attempt} failed`, detail: `${error.code}: ${error.message}`, tone: 'bad' })
  if (job.finished_at !== null) {
    const tone = job.status === 'completed' ? 'good' : job.status === 'failed' ? 'bad' : 'calm'
    moments.push({
      at: job.finished_at,
      title: job.status === 'completed' ? 'Completed' : job.status === 'failed' ? 'Failed' : 'Cancelled',
      detail: job.status === 'completed' ? 'The result is readable' : (job.error?.code ?? null),
      tone,
    })
  }
  return moments.map((moment, i) => {
    const next = moments[i + 1]
    const until = next ? Date.parse(next.at) : isFinished(job.status) ? null : now
    return { ...moment, lastedMs: until === null ? null : Math.max(0, until - Date.parse(moment.at)) }
  })
}

function waitOf(job: Job): string | null {
  if (job.queue_position === null) return null
  return `Waits for one of its tenant's places: number ${job.queue_position} in the queue`
}
