// The `schedule` of a submission: its schema, its check and its defaults. Pure.
import Type, { type Static } from 'typebox'
import type { Problem } from '../../connectors/connector.ts'
import { OVERLAP_POLICIES, type Schedule } from '../../topics/schedules.ts'
import { parseCron } from './cron.ts'
import { isTimeZone } from './firing.ts'

/** A week: what is older than that is rarely still wanted. */
const MAX_CATCHUP_MINUTES = 10_080

const cron = Type.String({
  minLength: 1,
  maxLength: 200,
  description:
    'minute hour day-of-month month day-of-week, as in crontab(5): numbers, names, lists, ranges, steps; a sixth field before them is for seconds',
})
const optionalFields = {
  timezone: Type.Optional(
    Type.String({ minLength: 1, maxLength: 100, description: 'IANA time zone, such as Europe/Berlin; default UTC' }),
  ),
  enabled: Type.Optional(Type.Boolean({ description: 'False pauses it; default true' })),
  overlap: Type.Optional(
    Type.Enum([...OVERLAP_POLICIES], {
      description:
        'When a job of the schedule is not finished: `skip` the firing (default), let one wait for its end (`buffer_one`), or start beside it (`allow`)',
    }),
  ),
  catchup_minutes: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: MAX_CATCHUP_MINUTES,
      description:
        'After a time without a controller, the last firing that was missed is made if it is not older; default 60',
    }),
  ),
}

export const ScheduleRequest = Type.Object({ cron, ...optionalFields }, { additionalProperties: false })
export type ScheduleRequest = Static<typeof ScheduleRequest>

/** What may be changed of a schedule. `job` replaces the whole submission and is checked like one. */
export const ScheduleChange = Type.Object(
  { cron: Type.Optional(cron), ...optionalFields, job: Type.Optional(Type.Unknown({ description: 'A submission' })) },
  { additionalProperties: false, minProperties: 1, title: 'ScheduleChange' },
)
export type ScheduleChange = Static<typeof ScheduleChange>

export type ScheduleSettings = Pick<Schedule, 'cron' | 'timezone' | 'enabled' | 'overlap' | 'catchup_minutes'>

export function withDefaults(request: ScheduleRequest): ScheduleSettings {
  return {
    cron: request.cron,
    timezone: request.timezone ?? 'UTC',
    enabled: request.enabled ?? true,
    overlap: request.overlap ?? 'skip',
    catchup_minutes: request.catchup_minutes ?? 60,
  }
}

/** What the schema cannot say of these fields. `pointer` is that of the object that they are in. */
export function scheduleProblems(given: { cron?: string; timezone?: string }, pointer: string): Problem[] {
  const problems: Problem[] = []
  const parsed = given.cron === undefined ? null : parseCron(given.cron)
  if (parsed && 'detail' in parsed)
    problems.push({ code: 'invalid_cron', pointer: `${pointer}/cron`, detail: parsed.detail })
  if (given.timezone !== undefined && !isTimeZone(given.timezone)) {
    const detail = `expected an IANA time zone such as Europe/Berlin, got ${given.timezone}`
    problems.push({ code: 'invalid_timezone', pointer: `${pointer}/timezone`, detail })
  }
  return problems
}
