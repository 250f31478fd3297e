// What a job remembers of its way: when it came to each state, and what it stood still for. Pure.
import type { JobSnapshot } from '../../topics/jobs.ts'

/** Scorers that come and go must not make a snapshot that fits in no record. */
const KEPT_WAITS = 20

/** The job after a step, with what the step adds to its history. */
export function recorded(before: JobSnapshot, after: JobSnapshot, at: number): JobSnapshot {
  if (after === before) return after
  const over = before.waiting_for !== null && after.waiting_for !== before.waiting_for ? before.waiting_for : null
  const came = after.status !== before.status || after.prepared_attempt !== before.prepared_attempt
  return {
    ...after,
    past_waits: over ? [...before.past_waits, { ...over, until: BigInt(at) }].slice(-KEPT_WAITS) : before.past_waits,
    history: came
      ? [...before.history, { status: after.status, attempt: after.attempt, at: BigInt(at) }]
      : before.history,
  }
}
