// The body of a submission that would make the same job again. Pure.
import type { JobSnapshot } from '../../../topics/jobs.ts'

export function requestOf({ model_id, input, outputs, config, webhook }: JobSnapshot): Record<string, unknown> {
  const given = outputs.map(withoutNulls)
  return {
    model_id,
    input: withoutNulls(input),
    ...(given.length === 1 ? { output: given[0] } : { outputs: given }),
    config: withoutNulls(config),
    ...(webhook ? { webhook: { url: webhook.url, events: webhook.events } } : {}),
  }
}

function withoutNulls(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
}
