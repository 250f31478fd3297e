// The life of a job: each transition by example, and what no order of events may break.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deadline, duty, isActive, type JobEvent, next } from '../../src/job/machine.ts'
import { newWebhook, webhookTried } from '../../src/job/webhook.ts'
import { isTerminal, JOB_STATUSES, type JobSnapshot, type JobStatus } from '../../topics/jobs.ts'
import { PLAN, running, submitted } from './snapshots.ts'

const ERROR = { code: 'boom', message: 'it broke' }
const COUNTS = ['read_rows', 'processed_rows', 'written_rows', 'failed_rows'] as const
const RANK: Record<JobStatus, number> = {
  submitted: 0,
  preparing: 1,
  running: 2,
  completing: 3,
  completed: 4,
  failed: 4,
  cancelled: 4,
}

const planned: JobEvent = { type: 'planned', plan: PLAN, modelVersion: 3 }
const admitted: JobEvent = { type: 'admitted', pool: 'cpu', lanes: [0, 1], at: 2_000 }
const prepared = (attempt: number): JobEvent => ({ type: 'prepared', attempt, at: 3_000 })
const delivered = (attempt: number): JobEvent => ({ type: 'delivered', attempt, at: 8_000 })
const attemptFailed = (attempt: number, retriable = true): JobEvent => ({
  type: 'attempt-failed',
  attempt,
  error: ERROR,
  retriable,
  at: 9_000,
})
const failed: JobEvent = { type: 'failed', error: ERROR, at: 9_000 }
const cancelled: JobEvent = { type: 'cancelled', at: 9_000 }
const RESULTS = [{ location: 'predictions.churn_scores', rows: 3n, bytes: 30n }]
const finalised: JobEvent = { type: 'finalised', results: RESULTS, at: 9_000 }
const cleaned: JobEvent = { type: 'cleaned' }

describe('transitions', () => {
  test('a job that goes well passes every state once', () => {
    const path: JobEvent[] = [planned, admitted, prepared(1), delivered(1), finalised]
    const states = [submitted()]
    for (const event of path) states.push(next(states.at(-1) as JobSnapshot, event))
    expect(states.map(({ status }) => status)).toEqual([
      'submitted',
      'submitted',
      'preparing',
      'running',
      'completing',
      'completed',
    ])
    expect(states.map(duty)).toEqual(['plan', 'admit', 'prepare', null, 'finalise', null])
    expect(states[1]).toMatchObject({ plan: PLAN, model_version: 3, pool: 'cpu' })
    expect(states[2]).toMatchObject({ lanes: [0, 1], attempt: 1, prepared_attempt: 0, started_at: 2_000n })
    expect(states[3]).toMatchObject({ prepared_attempt: 1 })
    expect(states[5]).toMatchObject({ lanes: [], finished_at: 9_000n, error: null })
    expect(states[5]?.history).toEqual([
      { status: 'preparing', attempt: 1, at: 2_000n },
      { status: 'running', attempt: 1, at: 3_000n },
      { status: 'completing', attempt: 1, at: 8_000n },
      { status: 'completed', attempt: 1, at: 9_000n },
    ])
  })

  test('a plan is made once: a second one changes nothing', () => {
    const job = next(submitted(), planned)
    const other: JobEvent = { type: 'planned', plan: { ...PLAN, total_rows: 5n }, modelVersion: 4 }
    expect(next(job, other)).toBe(job)
  })

  test('without a plan a job is not admitted', () => {
    const job = submitted()
    expect(next(job, admitted)).toBe(job)
  })

  test('a passing failure begins a new attempt: counts start again, the output is prepared again', () => {
    const job = running({ read_rows: 9n, processed_rows: 8n, written_rows: 7n, failed_rows: 1n })
    const again = next(job, attemptFailed(1))
    const failed_attempts = [{ attempt: 1, ...ERROR, at: 9_000n }]
    expect(again).toEqual({ ...running(), attempt: 2, failed_attempts })
    expect(duty(again)).toBe('prepare')
    expect(next(again, prepared(2)).history).toEqual([{ status: 'running', attempt: 2, at: 3_000n }])
    expect(duty(next(again, prepared(2)))).toBeNull()
  })

  test('retry_count further attempts, then the job fails and says so', () => {
    const job = running({ config: { ...running().config, retry_count: 1 }, attempt: 2, prepared_attempt: 2 })
    const over = next(job, attemptFailed(2))
    expect(over).toMatchObject({ status: 'failed', attempt: 2, finished_at: 9_000n })
    expect(over.error).toEqual({ code: 'boom', message: 'it broke (attempt 2 of 2; none left)' })
  })

  test('a failure that will not pass ends the job at once, in its own words', () => {
    expect(next(running(), attemptFailed(1, false))).toMatchObject({ status: 'failed', attempt: 1, error: ERROR })
  })

  test.each([
    ['prepared', prepared(1)],
    ['delivered', delivered(1)],
    ['attempt-failed', attemptFailed(1)],
  ])('%s of an attempt that is over says nothing about the current one', (_, event) => {
    const job = running({ attempt: 2, prepared_attempt: 2 })
    expect(next(job, event)).toBe(job)
  })

  test('counts within an attempt only grow', () => {
    const job = running({ read_rows: 5n, processed_rows: 4n, written_rows: 3n, failed_rows: 2n })
    const totals = { read_rows: 9n, processed_rows: 1n, written_rows: 3n, failed_rows: 0n, output_rows: [5n, 2n] }
    const after = next({ ...job, output_rows: [4n, 3n] }, { type: 'progressed', totals })
    expect(after).toEqual({ ...job, read_rows: 9n, output_rows: [5n, 3n] })
    expect(next(after, { type: 'progressed', totals })).toBe(after)
  })

  test('a cancelled job keeps its lanes until what it staged is gone', () => {
    const job = next(running(), cancelled)
    expect(job).toMatchObject({ status: 'cancelled', lanes: [0, 1], finished_at: 9_000n, error: null })
    expect(duty(job)).toBe('clean')
    const clean = next(job, cleaned)
    expect(clean.lanes).toEqual([])
    expect(duty(clean)).toBeNull()
    expect(next(clean, cleaned)).toBe(clean)
  })

  test('what a job stood still for is remembered when it goes on, and not for ever', () => {
    const waits = (lack: boolean, at: number): JobEvent => ({
      type: 'waits',
      lack: lack ? { code: 'gpu_worker', message: 'none' } : null,
      at,
    })
    const once = next(next(running(), waits(true, 4_000)), waits(false, 6_000))
    expect(once.past_waits).toEqual([{ code: 'gpu_worker', message: 'none', since: 4_000n, until: 6_000n }])
    expect(once.waiting_for).toBeNull()
    expect(next(next(running(), waits(true, 4_000)), cancelled).past_waits).toMatchObject([{ until: 9_000n }])
    let job = running()
    for (let at = 0; at < 1_000; at += 20) job = next(next(job, waits(true, at)), waits(false, at + 10))
    expect(job.past_waits.map(({ since }) => since)).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(600 + i * 20)))
  })

  test('a job that never began leaves nothing to clean', () => {
    expect(duty(next(submitted(), cancelled))).toBeNull()
    expect(duty(next(submitted(), failed))).toBeNull()
  })

  test('while the result is made visible it is too late to cancel, but not to fail', () => {
    const job = running({ status: 'completing' })
    expect(next(job, cancelled)).toBe(job)
    expect(next(job, failed)).toMatchObject({ status: 'failed', error: ERROR })
  })

  test('a job has places and a deadline from preparing to its end', () => {
    expect(JOB_STATUSES.filter((status) => isActive(running({ status })))).toEqual([
      'preparing',
      'running',
      'completing',
    ])
    expect(deadline(submitted())).toBeNull()
    expect(deadline(running())).toBe(2_000 + 60 * 60_000)
    expect(deadline(running({ status: 'failed' }))).toBeNull()
  })
})

/** An event that may or may not fit: every other one is what the job waits for. Attempts are relative to its current one. */
interface Step {
  readonly type: JobEvent['type'] | 'onward'
  readonly attemptOff: number
  readonly retriable: boolean
  readonly rows: bigint
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  type: fc.oneof(
    { weight: 10, arbitrary: fc.constant('onward' as const) },
    { weight: 6, arbitrary: fc.constantFrom<JobEvent['type'][]>('planned', 'admitted', 'prepared', 'delivered') },
    { weight: 4, arbitrary: fc.constantFrom<JobEvent['type'][]>('finalised', 'progressed', 'attempt-failed') },
    { weight: 2, arbitrary: fc.constantFrom<JobEvent['type'][]>('waits', 'moved') },
    { weight: 1, arbitrary: fc.constantFrom<JobEvent['type'][]>('failed', 'cancelled', 'cleaned', 'webhook-tried') },
  ),
  attemptOff: fc.constantFrom(0, 0, 0, -1, 1),
  retriable: fc.constantFrom(true, true, true, false),
  rows: fc.bigInt({ min: 0n, max: 100n }),
})

const ONWARD = {
  plan: 'planned',
  admit: 'admitted',
  prepare: 'prepared',
  finalise: 'finalised',
  clean: 'cleaned',
} as const

function eventOf({ attemptOff, retriable, rows, ...step }: Step, job: JobSnapshot, at: number): JobEvent {
  const due = duty(job)
  const type = step.type !== 'onward' ? step.type : due ? ONWARD[due] : 'delivered'
  const attempt = job.attempt + attemptOff
  switch (type) {
    case 'planned':
      return planned
    case 'admitted':
      return { type, pool: 'gpu', lanes: [3, 5], at }
    case 'prepared':
    case 'delivered':
      return { type, attempt, at }
    case 'progressed':
      return {
        type,
        totals: {
          read_rows: rows,
          processed_rows: rows / 2n,
          written_rows: rows / 3n,
          failed_rows: 0n,
          output_rows: [rows / 3n],
        },
      }
    case 'attempt-failed':
      return { type, attempt, error: ERROR, retriable, at }
    case 'failed':
    case 'moved':
      return { type, error: ERROR, at }
    case 'waits':
      return { type, lack: retriable ? { code: 'gpu_worker', message: 'none' } : null, at }
    case 'finalised':
      return { type, results: RESULTS, at }
    case 'cancelled':
      return { type, at }
    case 'cleaned':
      return { type }
    case 'webhook-tried':
      return { type, error: retriable ? 'answered 500' : null, nextAttemptAt: rows > 50n ? at + 1_000 : null, at }
  }
}

test('no order of events breaks the laws of a job', () => {
  const seen = new Set<JobStatus>()
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), fc.integer({ min: 0, max: 3 }), (steps, retryCount) => {
      const webhook = newWebhook({ url: 'https://hooks.example.com/', events: ['completed', 'failed'] })
      let job = Object.freeze(submitted({ webhook, config: { ...submitted().config, retry_count: retryCount } }))
      steps.forEach((step, i) => {
        const event = eventOf(step, job, 5_000 + i)
        const after = Object.freeze(next(job, event))
        checkStep(job, event, after)
        checkState(after)
        job = after
        seen.add(job.status)
      })
    }),
    { numRuns: 2_000 },
  )
  expect([...seen].sort()).toEqual([...JOB_STATUSES].sort())
})

function checkStep(job: JobSnapshot, event: JobEvent, after: JobSnapshot): void {
  if (isTerminal(job.status)) {
    // Two things are left to do: giving the lanes back, and telling of the end.
    if (event.type === 'cleaned') expect(after).toEqual({ ...job, lanes: [] })
    else if (event.type === 'webhook-tried' && job.webhook?.state === 'pending')
      expect(after).toEqual({ ...job, webhook: webhookTried(job.webhook, event) })
    else expect(after).toBe(job)
  }
  expect(RANK[after.status]).toBeGreaterThanOrEqual(RANK[job.status])
  expect(after.attempt).toBeGreaterThanOrEqual(job.attempt)
  for (const count of COUNTS) {
    if (after.attempt === job.attempt) expect(after[count]).toBeGreaterThanOrEqual(job[count])
    else expect(after[count]).toBe(0n)
  }
  if (job.plan) expect(after.plan).toBe(job.plan)
  if (job.started_at !== null) expect(after.started_at).toBe(job.started_at)
}

function checkState(job: JobSnapshot): void {
  expect(job.attempt).toBeLessThanOrEqual(job.config.retry_count + 1)
  expect(job.prepared_attempt).toBeLessThanOrEqual(job.attempt)
  expect(job.attempt > 0).toBe(job.started_at !== null)
  expect(job.finished_at !== null).toBe(isTerminal(job.status))
  if (isTerminal(job.status) || job.status === 'completing') expect(job.waiting_for).toBeNull()
  expect(job.error !== null).toBe(job.status === 'failed')
  if (isActive(job)) expect(job.lanes).toEqual([3, 5])
  if (job.status === 'submitted' || job.status === 'completed') expect(job.lanes).toEqual([])
  expect(job.webhook?.state === 'waiting').toBe(!isTerminal(job.status))
  expect(job.webhook?.state === 'not_wanted').toBe(job.status === 'cancelled')
  expect(job.history.at(-1)?.status ?? 'submitted').toBe(job.status)
  const times = job.history.map(({ at }) => at)
  expect(times).toEqual(times.toSorted((a, b) => Number(a - b)))
  for (const { since, until } of job.past_waits) expect(until).toBeGreaterThanOrEqual(since)
  const over = job.status === 'failed' || job.status === 'cancelled'
  expect(duty(job) === 'clean').toBe(over && job.lanes.length > 0)
  if (job.status === 'completed') expect(duty(job)).toBeNull()
  // Every unfinished job has something to do, except one whose attempt is under way.
  if (!isTerminal(job.status) && duty(job) === null) expect(job).toMatchObject({ status: 'running' })
}
