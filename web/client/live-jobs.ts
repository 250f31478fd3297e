// Every change of the tenant's jobs, live: one stream for the whole page. What comes is gathered for a moment, so that
// fifty jobs that report four times a second are drawn four times a second, and not two hundred times.
import { lost } from '../shell/connection.tsx'
import { follow } from './event-stream.ts'
import { isFinished, type Job } from './types.ts'

type Listener = (jobs: ReadonlyMap<string, Job>) => void

const GATHER_MS = 200
const RATES = 60
const RATE_EVERY_MS = 500

const listeners = new Set<Listener>()
const reloads = new Set<() => void>()
const partings = new Set<(jobId: string) => void>()
const rates = new Map<string, { at: number; values: number[] }>()
let gathered = new Map<string, Job>()

/** Calls with the jobs that changed, by id. */
export function onJobs(listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Calls when changes may have been missed, so what is shown must be loaded again. */
export function onMissed(listener: () => void): () => void {
  reloads.add(listener)
  return () => reloads.delete(listener)
}

/** Calls with the id of a job whose time was up. */
export function onGone(listener: (jobId: string) => void): () => void {
  partings.add(listener)
  return () => partings.delete(listener)
}

/** The last rates of a job that runs, in rows per second. */
export function ratesOf(jobId: string): readonly number[] {
  return rates.get(jobId)?.values ?? []
}

/** A change that this page caused itself, or found by asking. */
export function tellChanged(job: Job): void {
  if (gathered.size === 0) setTimeout(tellAll, GATHER_MS)
  gathered.set(job.job_id, job)
}

function tellAll(): void {
  const changed = gathered
  gathered = new Map()
  for (const job of changed.values()) keepRate(job)
  for (const listener of [...listeners]) listener(changed)
}

function keepRate(job: Job): void {
  if (isFinished(job.status)) {
    rates.delete(job.job_id)
    return
  }
  const now = Date.now()
  const known = rates.get(job.job_id) ?? { at: 0, values: [] }
  if (now - known.at < RATE_EVERY_MS) return
  rates.set(job.job_id, { at: now, values: [...known.values.slice(1 - RATES), job.progress.rows_per_second] })
}

/** Follows until `signal` aborts. */
export function followJobs(signal: AbortSignal): void {
  follow({
    path: '/api/v1/inference/events',
    signal,
    onEvent: ({ event, data }) => {
      if (event === 'job') tellChanged(JSON.parse(data) as Job)
      if (event === 'gone') for (const part of [...partings]) part((JSON.parse(data) as { job_id: string }).job_id)
      // The beginning of a stream that does not go on from the last one: what changed before it is to be asked for.
      if (event === 'open') for (const reload of [...reloads]) reload()
    },
    onOpen: () => lost.set(null),
    onLost: (retryAt) => lost.set({ since: lost.get()?.since ?? Date.now(), retryAt }),
  })
}
