// What happened to a job, in order: its states and attempts, with what each took or waited for. Pure.
import { isFinished, type Job, type JobState } from '../client/types.ts'

export interface Moment {
  readonly at: string
  readonly title: string
  readonly detail: string | null
  readonly tone: 'calm' | 'live' | 'good' | 'bad' | 'warn'
  /** Until the next moment, in ms; null for the last one. */
  readonly lastedMs: number | null
}

type Told = Omit<Moment, 'lastedMs'>

/** A place that is free at once, and the controller's own turn, take less; what takes longer was waited for. */
const WAITED_MS = 1_000
/** A wait that ends with a state ends in that. */
const SAME_MS = 50

export function timelineOf(job: Job, now: number): Moment[] {
  const states = historyOf(job).map((moment) => stateOf(job, moment))
  const moments = [
    { at: job.submitted_at, title: 'Submitted', detail: placeOf(job), tone: 'calm' } as const,
    ...states,
    ...job.failed_attempts.map(failureOf),
    ...waitsOf(job, states),
  ].sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
  return moments.map((moment, i) => {
    const next = moments[i + 1]
    const until = next ? Date.parse(next.at) : isFinished(job.status) ? null : now
    return { ...moment, lastedMs: until === null ? null : Math.max(0, until - Date.parse(moment.at)) }
  })
}

/** Jobs of a version that kept no history have its beginning and its end. */
function historyOf({ history, status, attempt, started_at, finished_at }: Job): Job['history'] {
  if (history.length) return history
  return [
    ...(started_at === null ? [] : [{ status: 'preparing' as const, attempt: 1, at: started_at }]),
    ...(finished_at === null ? [] : [{ status, attempt, at: finished_at }]),
  ]
}

const STATES: Record<JobState, Pick<Told, 'title' | 'detail' | 'tone'>> = {
  submitted: { title: 'Submitted', detail: null, tone: 'calm' },
  preparing: {
    title: 'Preparing',
    detail: 'It has a place and its lanes; its output is made ready',
    tone: 'live',
  },
  running: { title: 'Running', detail: 'Rows are read, scored and written', tone: 'live' },
  completing: { title: 'Completing', detail: 'Every row is written; the result is made visible', tone: 'live' },
  completed: { title: 'Completed', detail: 'The result is readable', tone: 'good' },
  failed: { title: 'Failed', detail: null, tone: 'bad' },
  cancelled: { title: 'Cancelled', detail: null, tone: 'calm' },
}

function stateOf({ error }: Job, { status, attempt, at }: Job['history'][number]): Told {
  const { title, detail, tone } = STATES[status]
  return {
    at,
    title: status === 'running' && attempt > 1 ? `${title}, attempt ${attempt}` : title,
    detail: status === 'failed' ? (error?.code ?? null) : detail,
    tone,
  }
}

function failureOf({ attempt, error, at }: Job['failed_attempts'][number]): Told {
  return { at, title: `Attempt ${attempt} failed`, detail: `${error.code}: ${error.message}`, tone: 'bad' }
}

/** What it stood still for, and that it went on, where that is no state's own moment. */
function waitsOf({ past_waits, waiting_for }: Job, states: readonly Told[]): Told[] {
  const stands = (message: string, since: string): Told => ({
    at: since,
    title: 'Stands still',
    detail: message,
    tone: 'warn',
  })
  const ends = (until: string): boolean =>
    states.some(({ at }) => Math.abs(Date.parse(at) - Date.parse(until)) < SAME_MS)
  return [
    ...past_waits.flatMap(({ message, since, until }): Told[] => [
      { ...stands(message, since), title: 'Stood still' },
      ...(ends(until) ? [] : [{ at: until, title: 'Went on', detail: null, tone: 'live' as const }]),
    ]),
    ...(waiting_for ? [stands(waiting_for.message, waiting_for.since)] : []),
  ]
}

function placeOf({ queue_position, waiting_for, submitted_at, started_at, past_waits }: Job): string | null {
  if (queue_position !== null && waiting_for === null)
    return `Waits for one of its tenant's places: number ${queue_position} in the queue`
  if (started_at === null || past_waits.length) return null
  const waited = Date.parse(started_at) - Date.parse(submitted_at)
  return waited < WAITED_MS ? null : "Waited for one of its tenant's places, which other jobs had"
}
