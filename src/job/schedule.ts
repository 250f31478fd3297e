// The life of a schedule as pure functions: created by a submission, changed by commands, fired by the clock. No I/O; the
// time comes from whoever calls.
import { Compile } from 'typebox/compile'
import type { Problem } from '../../connectors/connector.ts'
import type { Firing, Schedule, SkipReason } from '../../topics/schedules.ts'
import { type Cron, parseCron } from './cron.ts'
import { lastFiring, nextFiring } from './firing.ts'
import { requestHash } from './identity.ts'
import { ScheduleChange, type ScheduleRequest, scheduleProblems, withDefaults } from './schedule-spec.ts'
import { type JobRequest, parseJob, schemaProblems } from './spec.ts'

const compiled = Compile(ScheduleChange)

/** Whether a submission asks for a schedule; whether it is a valid one is for `parseJob` to say. */
export function isScheduled(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'schedule' in body
}

/** The schedule that a valid submission makes. */
export function newSchedule(scheduleId: string, tenantId: string, body: unknown, at: number): Schedule {
  const { schedule, ...job } = body as JobRequest & { schedule: ScheduleRequest }
  const settings = withDefaults(schedule)
  return {
    schedule_id: scheduleId,
    tenant_id: tenantId,
    ...settings,
    job: JSON.stringify(job),
    request_hash: requestHash(body),
    created_at: BigInt(at),
    last_fired_at: null,
    last_job_id: null,
    last_skipped: null,
    next_fire_at: settings.enabled ? firingAfter(settings, at) : null,
    waiting_fire_at: null,
    change_id: null,
    recent_changes: [],
    recent_firings: [],
  }
}

/** Checks a change of any kind; all faults are named at once. */
export function parseChange(
  body: unknown,
  defaults: { parallelism: number },
): { change: ScheduleChange } | { problems: Problem[] } {
  if (!compiled.Check(body)) return { problems: schemaProblems(compiled.Errors(body), body) }
  const change = body
  const problems = scheduleProblems(change, '')
  if (isScheduled(change.job)) {
    const detail = 'schedule is no field of a schedule’s job; change the fields beside job'
    problems.push({ code: 'unknown_field', pointer: '/job/schedule', detail })
  } else if (change.job !== undefined) {
    const parsed = parseJob(change.job, defaults)
    if ('problems' in parsed) problems.push(...inJob(parsed.problems))
  }
  return problems.length ? { problems } : { change }
}

/** Problems of a submission, with the pointers that they have in a change. */
export function inJob(problems: readonly Problem[]): Problem[] {
  return problems.map((problem) => ({ ...problem, pointer: `/job${problem.pointer}` }))
}

/**
 * The schedule after a valid change. One that is paused forgets the firing that waits; one that goes on, or gets other
 * times, fires from now on.
 */
export function changed(schedule: Schedule, change: ScheduleChange, at: number): Schedule {
  const { job, ...settings } = change
  const after = { ...schedule, ...settings, job: job === undefined ? schedule.job : JSON.stringify(job) }
  if (!after.enabled) return { ...after, next_fire_at: null, waiting_fire_at: null }
  const sameTimes = after.cron === schedule.cron && after.timezone === schedule.timezone
  if (sameTimes && schedule.enabled) return after
  return { ...after, next_fire_at: firingAfter(after, at) }
}

/**
 * What the clock does to a schedule: its new state, and the firings that are to be made now, named by the time they were
 * due. `busy`: a job of the schedule is not finished. Of several firings since the last look only the last counts.
 */
export function fired(schedule: Schedule, busy: boolean, at: number): { schedule: Schedule; firings: bigint[] } {
  const firings: bigint[] = []
  let after = schedule
  const occupied = (): boolean => (busy || firings.length > 0) && after.overlap !== 'allow'
  if (after.waiting_fire_at !== null && !occupied()) {
    firings.push(after.waiting_fire_at)
    after = { ...after, waiting_fire_at: null }
  }
  if (after.next_fire_at !== null && after.next_fire_at <= at) {
    const due = BigInt(lastFiring(cronOf(after), after.timezone, Number(after.next_fire_at), at))
    after = { ...after, next_fire_at: firingAfter(after, at) }
    if (BigInt(at) - due > after.catchup_minutes * 60_000) after = skipped(after, due, 'missed')
    else if (!occupied()) firings.push(due)
    else if (after.overlap === 'buffer_one' && after.waiting_fire_at === null)
      after = { ...after, waiting_fire_at: due }
    else after = skipped(after, due, 'overlap')
  }
  return { schedule: after, firings }
}

/** The next firings after a moment, in ms since 1970: none while the schedule is not enabled. */
export function upcoming(schedule: Schedule, count: number): number[] {
  const found: number[] = []
  let next = schedule.next_fire_at
  for (; next !== null && found.length < count; next = firingAfter(schedule, Number(next))) found.push(Number(next))
  return found
}

function skipped(schedule: Schedule, fireAt: bigint, reason: SkipReason): Schedule {
  const firing = { fire_at: fireAt, job_id: null, skipped: reason }
  return { ...withFiring(schedule, firing), last_skipped: { fire_at: fireAt, reason } }
}

/** The schedule after a firing made its job. */
export function firedJob(schedule: Schedule, fireAt: bigint, jobId: string): Schedule {
  const firing = { fire_at: fireAt, job_id: jobId, skipped: null }
  return { ...withFiring(schedule, firing), last_fired_at: fireAt, last_job_id: jobId }
}

/** Of the last firings, as many as are kept: the record is written again at each. */
const RECENT_FIRINGS = 10

function withFiring(schedule: Schedule, firing: Firing): Schedule {
  return { ...schedule, recent_firings: [firing, ...schedule.recent_firings].slice(0, RECENT_FIRINGS) }
}

function firingAfter(times: { cron: string; timezone: string }, at: number): bigint | null {
  const next = nextFiring(cronOf(times), times.timezone, at)
  return next === null ? null : BigInt(next)
}

function cronOf({ cron }: { cron: string }): Cron {
  const parsed = parseCron(cron)
  // Only what was checked becomes a schedule.
  if ('detail' in parsed) throw new Error(`cron ${cron}: ${parsed.detail}`)
  return parsed.cron
}
