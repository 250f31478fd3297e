// The controller's duties that touch the outside world: plan a direct command's job, prepare its output, make the result
// visible, clean up. Each runs beside the main loop, at most one for each job, and ends as an event for the job.
import type { Logger } from 'pino'
import { ConnectorError, type SinkJob, type SinkResult } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { Backoff, OWN_PATIENCE_MS } from '../backoff.ts'
import { type Duty, deadline, duty, type JobEvent, timeoutError } from '../job/machine.ts'
import { type PlanningWorld, planJob } from '../job/plan.ts'
import { sinkJob } from '../job/sink-job.ts'
import { specOf } from './command-record.ts'
import { type Destination, isRefusal, sweep } from './sweep.ts'

/**
 * Jobs for which these are done at once. Each plan asks a database twice or more, and a thousand submissions may come in one
 * moment; after a long time without a controller as many jobs may be due to be swept.
 */
const MOST_AT_ONCE: Partial<Record<Work, number>> = { plan: 8, sweep: 16 }
/** How long past its deadline a job may wait for a destination to say whether the result is visible. */
const UNKNOWN_MS = 600_000

/** What is done beside the main loop; `sweep` removes a finished job whose time is up. */
export type Work = Exclude<Duty, 'admit'> | 'sweep'

/** Null: nothing came of it, and it is due again later. */
export interface DutyOutcome {
  readonly jobId: string
  readonly event: JobEvent | { readonly type: 'swept' } | null
}

interface RunningDuty {
  readonly duty: Work
  readonly done: Promise<void>
  /** Aborts when the duty is the job's no more: it is not tried again. */
  readonly stop: AbortController
}

export class Duties {
  readonly #world: (tenantId: string) => PlanningWorld
  readonly #report: (outcome: DutyOutcome) => void
  readonly #log: Logger
  readonly #stop = new AbortController()
  /** Job → what is being done for it. */
  readonly #running = new Map<string, RunningDuty>()
  readonly #atOnce = new Map<Work, number>()

  constructor(world: (tenantId: string) => PlanningWorld, report: (outcome: DutyOutcome) => void, log: Logger) {
    this.#world = world
    this.#report = report
    this.#log = log
  }

  /** Starts a duty unless one is under way for the job, or too many of the kind are: then it is still due after an outcome. */
  start(job: JobSnapshot, duty: Work): void {
    const others = this.#atOnce.get(duty) ?? 0
    if (this.#running.has(job.job_id) || others >= (MOST_AT_ONCE[duty] ?? Number.POSITIVE_INFINITY)) return
    this.#atOnce.set(duty, others + 1)
    const stop = new AbortController()
    const done = this.#run(job, duty, AbortSignal.any([this.#stop.signal, stop.signal])).then((event) => {
      this.#running.delete(job.job_id)
      this.#atOnce.set(duty, (this.#atOnce.get(duty) ?? 1) - 1)
      this.#report({ jobId: job.job_id, event })
    })
    this.#running.set(job.job_id, { duty, done, stop })
  }

  /** The job has a new state: what is under way for it and not its duty any more is not tried again. */
  changed(job: JobSnapshot): void {
    const running = this.#running.get(job.job_id)
    if (running && running.duty !== 'sweep' && running.duty !== duty(job)) running.stop.abort()
  }

  /** Waits for what is under way, without trying anything again. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  /** Tries until there is an outcome; null when it was stopped before. */
  async #run(job: JobSnapshot, duty: Work, stop: AbortSignal): Promise<DutyOutcome['event']> {
    const backoff = new Backoff(duty === 'finalise' ? Number.POSITIVE_INFINITY : OWN_PATIENCE_MS)
    for (;;) {
      try {
        return await this.#perform(job, duty)
      } catch (error) {
        if (stop.aborted) return null
        // A result that could not be made visible until the deadline is taken back, or found to be visible after all.
        const goesOn = isPassing(error) || (duty === 'finalise' && isLate(job) && error instanceof ConnectorError)
        if (!goesOn || isLate(job, UNKNOWN_MS)) return this.#failure(job, duty, error)
        this.#log.warn({ jobId: job.job_id, duty, err: error }, 'a duty failed; trying again')
        if (!(await backoff.wait(stop))) return stop.aborted ? null : this.#failure(job, duty, error)
      }
    }
  }

  async #perform(job: JobSnapshot, duty: Work): Promise<NonNullable<DutyOutcome['event']>> {
    const world = this.#world(job.tenant_id)
    if (duty === 'plan') {
      const planned = await planJob(specOf(job), world)
      if ('problems' in planned) {
        const message = planned.problems.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
        return {
          type: 'failed',
          error: { code: planned.problems[0]?.code ?? 'invalid_request', message },
          at: Date.now(),
        }
      }
      return { type: 'planned', plan: planned.plan, modelVersion: planned.modelVersion }
    }
    const outputs = job.outputs.map(({ destination }, output) => {
      const sink = world.sinkFor(destination)
      if (sink) return { sink, output }
      throw new ConnectorError('destination_not_supported', `no connector for ${destination}`, { retriable: false })
    })
    switch (duty) {
      case 'prepare':
        for (const { sink, output } of outputs) {
          for (const old of attemptsBefore(job, output)) await sink.discard(old)
          await sink.prepare(sinkJob(job, output))
        }
        return { type: 'prepared', attempt: job.attempt }
      case 'finalise':
        return isLate(job) ? takeBack(job, outputs) : finalise(job, outputs)
      case 'clean':
        for (const { sink, output } of outputs)
          for (const any of [...attemptsBefore(job, output), sinkJob(job, output)]) await sink.discard(any)
        return { type: 'cleaned' }
      case 'sweep':
        await sweep(job, outputs)
        return { type: 'swept' }
    }
  }

  #failure(job: JobSnapshot, duty: Work, error: unknown): DutyOutcome['event'] {
    // What cannot be cleaned up must not keep the job's lanes for ever.
    if (duty === 'clean') return { type: 'cleaned' }
    // It is due again at the next tick.
    if (duty === 'sweep') return isRefusal(error) ? { type: 'swept' } : null
    if (duty === 'finalise' && isLate(job)) {
      const unknown = `whether the result is visible could not be found out: ${(error as Error).message}`
      return { type: 'failed', error: timeoutError(job, unknown), at: Date.now() }
    }
    const code = error instanceof ConnectorError ? error.code : 'internal'
    return { type: 'failed', error: { code, message: `${duty}: ${(error as Error).message}` }, at: Date.now() }
  }
}

/** Makes every output visible, each as a whole; when a later one fails for good, the error names those that are. */
async function finalise(job: JobSnapshot, outputs: readonly Destination[]): Promise<JobEvent> {
  const results: SinkResult[] = []
  for (const { sink, output } of outputs) {
    try {
      results.push(await sink.finalise(sinkJob(job, output), job.written_rows, deadline(job) ?? undefined))
    } catch (error) {
      if (!results.length || !(error instanceof ConnectorError)) throw error
      throw new ConnectorError(error.code, `${error.message}. ${alreadyVisible(results)}`, {
        retriable: error.retriable,
        cause: error,
      })
    }
  }
  return { type: 'finalised', results, at: Date.now() }
}

/**
 * The deadline has come while the result was being made visible. What a try that failed has left is known to the destination
 * alone (a commit may have come through whose answer was lost), and only to one that cannot become visible later: so first
 * everything staged is discarded, which is harmless to a result that is there, and then each output is asked for it.
 */
async function takeBack(job: JobSnapshot, outputs: readonly Destination[]): Promise<JobEvent> {
  const results: SinkResult[] = []
  for (const { sink, output } of outputs) {
    await sink.discard(sinkJob(job, output))
    try {
      results.push(await sink.finalise(sinkJob(job, output), job.written_rows))
    } catch (error) {
      if (!(error instanceof ConnectorError) || error.retriable) throw error
    }
  }
  if (results.length === outputs.length) return { type: 'finalised', results, at: Date.now() }
  const error = timeoutError(
    job,
    results.length ? alreadyVisible(results) : 'the result was ready, and could not be made visible',
  )
  return { type: 'failed', error, at: Date.now() }
}

function alreadyVisible(results: readonly SinkResult[]): string {
  return `Already visible, and left as they are: ${results.map(({ location }) => location).join(', ')}`
}

function isPassing(error: unknown): boolean {
  return error instanceof ConnectorError && error.retriable
}

/** Whether the job's deadline has passed, by so much. */
function isLate(job: JobSnapshot, byMs = 0): boolean {
  const end = deadline(job)
  return end !== null && Date.now() >= end + byMs
}

function attemptsBefore(job: JobSnapshot, output: number): SinkJob[] {
  return Array.from({ length: job.attempt - 1 }, (_, i) => sinkJob({ ...job, attempt: i + 1 }, output))
}
