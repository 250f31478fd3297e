// The webhook of a job: how it follows the job, and when it is tried again. Pure.
import type { JobWebhook, TerminalStatus } from '../../topics/jobs.ts'
import type { WebhookSpec } from './webhook-spec.ts'

/** The webhook of a job that is not finished. */
export function newWebhook(spec: WebhookSpec): JobWebhook {
  return { ...spec, state: 'waiting', attempts: 0, last_attempt_at: null, next_attempt_at: null, last_error: null }
}

/** The webhook of a job that has just come to its end. */
export function webhookAtEnd(webhook: JobWebhook, end: TerminalStatus): JobWebhook {
  return { ...webhook, state: webhook.events.includes(end) ? 'pending' : 'not_wanted' }
}

/** What came of a try to deliver. */
export interface WebhookTry {
  /** Null: the receiver took it. */
  readonly error: string | null
  /** Null: not again. */
  readonly nextAttemptAt: number | null
  readonly at: number
}

export function webhookTried(webhook: JobWebhook, { error, nextAttemptAt, at }: WebhookTry): JobWebhook {
  return {
    ...webhook,
    state: error === null ? 'delivered' : nextAttemptAt === null ? 'failed' : 'pending',
    attempts: webhook.attempts + 1,
    last_attempt_at: BigInt(at),
    next_attempt_at: nextAttemptAt === null ? null : BigInt(nextAttemptAt),
    last_error: error,
  }
}

const HOUR_MS = 3_600_000
const FIRST_WAIT_MS = 1_000
const FACTOR = 4
const LONGEST_WAIT_MS = 4 * HOUR_MS

/**
 * When to try again after `attempts` tries, the last at `at`; null when that is later than `hours` after the job's end.
 * Waits of 1, 4, 16, 64 s, 4 and 17 minutes, 1 hour, then 4 hours each, shortened by up to a half as `random` (0 … 1)
 * says: receivers that were away together must not be asked together.
 */
export function nextTry(
  attempts: number,
  finishedAt: number,
  hours: number,
  at: number,
  random: number,
): number | null {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * FACTOR ** (attempts - 1))
  const next = Math.round(at + wait * (1 - random / 2))
  return next <= finishedAt + hours * HOUR_MS ? next : null
}
