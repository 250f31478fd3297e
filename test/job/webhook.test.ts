// The webhook of a job, without any network: what a submission may say of it, how it follows the job, when it is tried again.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { next } from '../../src/job/machine.ts'
import { parseJob } from '../../src/job/spec.ts'
import { newWebhook, nextTry } from '../../src/job/webhook.ts'
import { webhookBody, webhookId } from '../../src/job/webhook-message.ts'
import type { JobSnapshot, TerminalStatus } from '../../topics/jobs.ts'
import { running } from './snapshots.ts'

const URL_TEXT = 'https://hooks.example.com/scored?team=churn'
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

function parsed(webhook: unknown) {
  const output = { destination: 'table', table_name: 'predictions.churn_scores' }
  return parseJob(
    { model_id: 'churn', input: { source: 'sql', query: 'SELECT 1' }, output, webhook },
    { parallelism: 1 },
  )
}

describe('of a submission', () => {
  test('all three ends by default; those that are named, once each', () => {
    const eventsOf = (webhook: unknown) => (parsed(webhook) as { spec: { webhook: unknown } }).spec.webhook
    expect(eventsOf({ url: URL_TEXT })).toEqual({ url: URL_TEXT, events: ['completed', 'failed', 'cancelled'] })
    expect(eventsOf({ url: URL_TEXT, events: ['failed', 'completed', 'failed'] })).toEqual({
      url: URL_TEXT,
      events: ['completed', 'failed'],
    })
    expect(eventsOf(undefined)).toBeNull()
  })

  test.each([
    ['/webhook/url', 'such as https://hooks.example.com/scored', { url: 'hooks.example.com/scored' }],
    ['/webhook/url', 'got ftp://hooks.example.com', { url: 'ftp://hooks.example.com' }],
    ['/webhook/url', 'without user and password', { url: 'https://me:secret@hooks.example.com/' }],
    ['/webhook/url', 'url is missing', {}],
    ['/webhook/events/0', 'expected one of completed, failed, cancelled', { url: URL_TEXT, events: ['done'] }],
    ['/webhook/secret', 'no field of this object', { url: URL_TEXT, secret: 'whsec_' }],
    ['/webhook', 'object', URL_TEXT],
  ])('a fault at %s: %s', (pointer, detail, webhook) => {
    expect(parsed(webhook)).toEqual({
      problems: [expect.objectContaining({ pointer, detail: expect.stringContaining(detail) })],
    })
  })
})

describe('after the end of the job', () => {
  const withWebhook = (events: TerminalStatus[]): JobSnapshot =>
    running({ webhook: newWebhook({ url: URL_TEXT, events }), lanes: [] })
  const cancelled = next(withWebhook(['cancelled']), { type: 'cancelled', at: 9_000 })

  test('an end that is named is to be told, another is not', () => {
    expect(cancelled.webhook).toMatchObject({ state: 'pending', attempts: 0, next_attempt_at: null })
    const unnamed = next(withWebhook(['completed', 'failed']), { type: 'cancelled', at: 9_000 })
    expect(unnamed.webhook).toMatchObject({ state: 'not_wanted' })
    expect(next(unnamed, { type: 'webhook-tried', error: null, nextAttemptAt: null, at: 9_001 })).toBe(unnamed)
  })

  test('tries are counted until one succeeds or none is left, and the job stays as it is', () => {
    const tried = (job: JobSnapshot, error: string | null, nextAttemptAt: number | null) =>
      next(job, { type: 'webhook-tried', error, nextAttemptAt, at: 9_500 })
    const again = tried(cancelled, 'answered 500', 10_500)
    expect(again).toEqual({
      ...cancelled,
      webhook: {
        ...cancelled.webhook,
        state: 'pending',
        attempts: 1,
        last_attempt_at: 9_500n,
        next_attempt_at: 10_500n,
        last_error: 'answered 500',
      },
    })
    const delivered = { state: 'delivered', attempts: 2, next_attempt_at: null, last_error: null }
    expect(tried(again, null, null).webhook).toMatchObject(delivered)
    const given = { state: 'failed', attempts: 2, next_attempt_at: null, last_error: 'answered 502' }
    expect(tried(again, 'answered 502', null).webhook).toMatchObject(given)
  })

  test('every try has the same id and the same body', () => {
    const again = next(cancelled, { type: 'webhook-tried', error: 'answered 500', nextAttemptAt: 10_500, at: 9_500 })
    expect([webhookId(again), webhookBody(again)]).toEqual([webhookId(cancelled), webhookBody(cancelled)])
    expect(webhookId(cancelled)).toBe('batch-1-cancelled')
    const { type, timestamp, data } = JSON.parse(webhookBody(cancelled))
    expect([type, timestamp]).toEqual(['job.cancelled', '1970-01-01T00:00:09.000Z'])
    expect(data).toMatchObject({ job_id: 'batch-1', status: 'cancelled', progress: { percentage: expect.any(Number) } })
    expect(data).not.toHaveProperty('webhook')
  })
})

describe('when it is tried again', () => {
  /** The waits between tries that all fail at once, by the clock that is handed in. */
  function waits(hours: number, random: number): number[] {
    const found: number[] = []
    let at = 1_000_000
    for (let attempts = 1; ; attempts++) {
      const again = nextTry(attempts, 1_000_000, hours, at, random)
      if (again === null) return found
      found.push(again - at)
      at = again
    }
  }

  test('soon at first, then every four hours, up to a day', () => {
    expect(waits(24, 0)).toEqual([
      ...[1, 4, 16, 64, 256, 1024, 4096].map((seconds) => seconds * SECOND_MS),
      ...new Array(5).fill(4 * HOUR_MS),
    ])
    expect(waits(1, 0)).toHaveLength(6)
    expect(waits(0, 0)).toEqual([])
  })

  test('never later than the hours allow, and each wait at most halved', () => {
    const random = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 72, noNaN: true }),
        random,
        (n, hours, r) => {
          const again = nextTry(n, 0, hours, 5_000, r)
          const longest = Math.min(4 * HOUR_MS, SECOND_MS * 4 ** (n - 1))
          if (again === null) expect(5_000 + longest).toBeGreaterThan(hours * HOUR_MS)
          else {
            expect(again).toBeLessThanOrEqual(hours * HOUR_MS)
            expect(again - 5_000).toBeGreaterThanOrEqual(Math.floor(longest / 2))
            expect(again - 5_000).toBeLessThanOrEqual(longest)
          }
        },
      ),
    )
  })
})
