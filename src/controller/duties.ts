// The controller's duties that touch the outside world: plan a direct command's job, prepare its output, make the result
// visible, clean up. Each runs beside the main loop, at most one for each job, and ends as an event for the job.
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ConnectorError, type SinkJob, type SinkResult } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { Backoff, OWN_PATIENCE_MS } from '../backoff.ts'
import { type Duty, deadline, duty, type JobEvent, timeoutError } from '../job/machine.ts'
import { type PlanningWorld, planJob } from '../job/plan.ts'
import { sinkJob } from '../job/sink-job.ts'
import { Slots } from '../slots.ts'
import { specOf } from './command-record.ts'
import { type Destination, isRefusal, sweep } from './sweep.ts'

/**
 * Jobs for which these are done at once. Each plan asks a database twice or more, and a thousand submissions may come in one
 * moment; after a long time without a controller as many jobs may be due to be swept. Who waits to try again holds no slot:
 * jobs whose database is away keep no others from theirs.
 */
const PLANS_AT_ONCE = 8
const SWEEPS_AT_ONCE = 16
/** How long a sweep that failed is left alone, twice as long each time: nobody waits for it. */
const SWEEP_AGAIN_MS = 1_000
const SWEEP_AGAIN_AT_MOST_MS = 300_000
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
  /** Job → what is being done for it, until its outcome has been taken. */
  readonly #running = new Map<string, RunningDuty>()
  readonly #slots: Partial<Record<Work, Slots>> = {
    plan: new Slots(PLANS_AT_ONCE),
    sweep: new Slots(SWEEPS_AT_ONCE),
  }
  /** Job → how often its sweep has failed, and when it may be tried again. */
  readonly #unswept = new Map<string, { readonly failures: number; readonly notBefore: number }>()

  constructor(world: (tenantId: string) => PlanningWorld, report: (outcome: DutyOutcome) => void, log: Logger) {
    this.#world = world
    this.#report = report
    this.#log = log
  }

  /** Starts the duty of jobs for which none is under way, and waits a moment for all of these. Whether there were any. */
  async startAll(jobs: readonly JobSnapshot[], duty: Work, waitMs: number): Promise<boolean> {
    const started = jobs.flatMap((job) => this.start(job, duty) ?? [])
    if (!started.length) return false
    const waited = new AbortController()
    await Promise.race([Promise.all(started), pause(waitMs, undefined, { signal: waited.signal }).catch(() => {})])
    waited.abort()
    return true
  }

  /**
   * Starts a duty unless one is under way for the job, or its outcome is not taken yet: then it is still due after that. Resolves
   * when the outcome of what was started has been reported.
   */
  start(job: JobSnapshot, duty: Work): Promise<void> | null {
    if (this.#running.has(job.job_id)) return null
    if (duty === 'sweep' && (this.#unswept.get(job.job_id)?.notBefore ?? 0) > Date.now()) return null
    const stop = new AbortController()
    const done = this.#run(job, duty, AbortSignal.any([this.#stop.signal, stop.signal])).then((event) => {
      if (event?.type === 'swept') this.#unswept.delete(job.job_id)
      this.#report({ jobId: job.job_id, event })
    })
    this.#running.set(job.job_id, { duty, done, stop })
    return done
  }

  /**
   * The outcome that was reported for the job has been taken. Until then its snapshot still has the duty as due, and starting
   * it would do it a second time.
   */
  settled(jobId: string): void {
    this.#running.delete(jobId)
  }

  /** The job has a new state (undefined: it is gone): what is under way for it and not its duty any more is not tried again. */
  changed(jobId: string, job: JobSnapshot | undefined): void {
    const running = this.#running.get(jobId)
    if (running && running.duty !== 'sweep' && running.duty !== (job ? duty(job) : null)) running.stop.abort()
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
        return await this.#inTurn(job, duty, stop)
      } catch (error) {
        if (stop.aborted) return null
        if (duty === 'sweep') return this.#sweepFailed(job, error)
        // A result that could not be made visible until the deadline is taken back, or found to be visible after all.
        const goesOn = isPassing(error) || (duty === 'finalise' && isLate(job) && error instanceof ConnectorError)
        if (!goesOn || isLate(job, UNKNOWN_MS)) return this.#failure(job, duty, error)
        this.#log.warn({ jobId: job.job_id, duty, err: error }, 'a duty failed; trying again')
        if (!(await backoff.wait(stop))) return stop.aborted ? null : this.#failure(job, duty, error)
      }
    }
  }

  /** A slot is held only while something is done. */
  async #inTurn(job: JobSnapshot, duty: Work, stop: AbortSignal): Promise<NonNullable<DutyOutcome['event']>> {
    const slots = this.#slots[duty]
    await slots?.take(stop)
    try {
      return await this.#perform(job, duty)
    } finally {
      slots?.give()
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
        return { type: 'prepared', attempt: job.attempt, at: Date.now() }
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

  /** It is due again with a later tick. */
  #sweepFailed(job: JobSnapshot, error: unknown): DutyOutcome['event'] {
    if (isRefusal(error)) return { type: 'swept' }
    const failures = (this.#unswept.get(job.job_id)?.failures ?? 0) + 1
    const wait = Math.min(SWEEP_AGAIN_AT_MOST_MS, SWEEP_AGAIN_MS * 2 ** (failures - 1))
    this.#unswept.set(job.job_id, { failures, notBefore: Date.now() + wait })
    this.#log.warn({ jobId: job.job_id, err: error }, 'a finished job could not be swept; trying again later')
    return null
  }

  #failure(job: JobSnapshot, duty: Work, error: unknown): DutyOutcome['event'] {
    // What cannot be cleaned up must not keep the job's lanes for ever.
    if (duty === 'clean') return { type: 'cleaned' }
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
