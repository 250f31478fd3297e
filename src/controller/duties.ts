// The controller's duties that touch the outside world: plan a direct command's job, prepare its output, make the result
// visible, clean up. Each runs beside the main loop, at most one for each job, and ends as an event for the job.
import { ConnectorError, type Sink, type SinkJob, type SinkResult } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { Duty, JobEvent } from '../job/machine.ts'
import { type PlanningWorld, planJob } from '../job/plan.ts'
import { sinkJob } from '../job/sink-job.ts'
import { specOf } from './command-record.ts'

/** A passing failure (a database restarting, a deadlock) is tried again for about a minute before the job fails. */
const MAX_TRIES = 8
const FIRST_DELAY_MS = 200
const MAX_DELAY_MS = 15_000

/** What is done beside the main loop; `sweep` removes a finished job whose time is up. */
export type Work = Exclude<Duty, 'admit'> | 'sweep'

/** Null: nothing came of it, and it is due again later. */
export interface DutyOutcome {
  readonly jobId: string
  readonly event: JobEvent | { readonly type: 'swept' } | null
}

export class Duties {
  readonly #world: (tenantId: string) => PlanningWorld
  readonly #report: (outcome: DutyOutcome) => void
  readonly #stop = new AbortController()
  /** Job → what is being done for it. */
  readonly #running = new Map<string, { duty: Work; done: Promise<void> }>()

  constructor(world: (tenantId: string) => PlanningWorld, report: (outcome: DutyOutcome) => void) {
    this.#world = world
    this.#report = report
  }

  /** Starts a duty unless one is under way for the job. */
  start(job: JobSnapshot, duty: Work): void {
    if (this.#running.has(job.job_id)) return
    const done = this.#run(job, duty).finally(() => this.#running.delete(job.job_id))
    this.#running.set(job.job_id, { duty, done })
  }

  /** Waits for what is under way, without trying anything again. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  async #run(job: JobSnapshot, duty: Work): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const event = await this.#perform(job, duty)
        this.#running.delete(job.job_id)
        this.#report({ jobId: job.job_id, event })
        return
      } catch (error) {
        if (this.#stop.signal.aborted) return
        const passing = error instanceof ConnectorError && error.retriable
        if (passing && attempt < MAX_TRIES) {
          await pause(
            Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2),
            this.#stop.signal,
          )
          if (this.#stop.signal.aborted) return
          continue
        }
        this.#running.delete(job.job_id)
        this.#report({ jobId: job.job_id, event: this.#failure(duty, error) })
        return
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
      case 'finalise': {
        const results: SinkResult[] = []
        for (const { sink, output } of outputs) {
          results.push(await finaliseOne(sink, job, output, results))
        }
        return { type: 'finalised', results, at: Date.now() }
      }
      case 'clean':
        for (const { sink, output } of outputs)
          for (const any of [...attemptsBefore(job, output), sinkJob(job, output)]) await sink.discard(any)
        return { type: 'cleaned' }
      case 'sweep':
        for (const { sink, output } of outputs) if (job.plan) await sink.expire(sinkJob(job, output))
        return { type: 'swept' }
    }
  }

  #failure(duty: Work, error: unknown): DutyOutcome['event'] {
    // What cannot be cleaned up must not keep the job's lanes for ever.
    if (duty === 'clean') return { type: 'cleaned' }
    // What can never be removed must not be tried for ever; anything else is due again at the next tick.
    if (duty === 'sweep') return error instanceof ConnectorError && !error.retriable ? { type: 'swept' } : null
    const code = error instanceof ConnectorError ? error.code : 'internal'
    return { type: 'failed', error: { code, message: `${duty}: ${(error as Error).message}` }, at: Date.now() }
  }
}

/** Each output is visible as a whole or not at all; when a later one fails for good, the error names those that are. */
async function finaliseOne(
  sink: Sink,
  job: JobSnapshot,
  output: number,
  visible: readonly SinkResult[],
): Promise<SinkResult> {
  try {
    return await sink.finalise(sinkJob(job, output), job.written_rows)
  } catch (error) {
    if (!visible.length || !(error instanceof ConnectorError)) throw error
    const there = visible.map(({ location }) => location).join(', ')
    throw new ConnectorError(error.code, `${error.message}. Already visible, and left as they are: ${there}`, {
      retriable: error.retriable,
      cause: error,
    })
  }
}

function attemptsBefore(job: JobSnapshot, output: number): SinkJob[] {
  return Array.from({ length: job.attempt - 1 }, (_, i) => sinkJob({ ...job, attempt: i + 1 }, output))
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
