// The `webhook` of a submission: its schema, its check and its defaults. Pure.
import Type, { type Static } from 'typebox'
import type { Problem } from '../../connectors/connector.ts'
import { type JobWebhook, WEBHOOK_EVENTS } from '../../topics/jobs.ts'

export const WebhookRequest = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: 2_000,
      description: 'Where to POST to when the job is finished; https, and a public address',
    }),
    events: Type.Optional(
      Type.Array(Type.Enum([...WEBHOOK_EVENTS]), {
        minItems: 1,
        maxItems: WEBHOOK_EVENTS.length,
        description: 'The ends that are told; default all three',
      }),
    ),
  },
  { additionalProperties: false },
)
export type WebhookRequest = Static<typeof WebhookRequest>

/** What a job is told of its webhook. */
export type WebhookSpec = Pick<JobWebhook, 'url' | 'events'>

/** What the schema cannot say. */
export function webhookUrlProblems({ url }: WebhookRequest): Problem[] {
  const parsed = URL.parse(url)
  const detail =
    parsed?.protocol !== 'https:' && parsed?.protocol !== 'http:'
      ? `expected a URL such as https://hooks.example.com/scored, got ${url}`
      : parsed.username || parsed.password
        ? 'expected a URL without user and password, for a status shows it; the signature tells the receiver who sends'
        : null
  return detail === null ? [] : [{ code: 'invalid_url', pointer: '/webhook/url', detail }]
}

export function webhookSpec({ url, events }: WebhookRequest): WebhookSpec {
  return { url, events: events ? WEBHOOK_EVENTS.filter((event) => events.includes(event)) : [...WEBHOOK_EVENTS] }
}
