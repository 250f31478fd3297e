// Which jobs of a list: the filters of its query, checked, and whether a job passes them. Pure.
import Type, { type Static } from 'typebox'
import type { Problem } from '../../../connectors/connector.ts'
import { DESTINATIONS, JOB_STATUSES, type JobSnapshot } from '../../../topics/jobs.ts'
import { invalidRequest } from '../problem.ts'
import { timeOf } from '../time.ts'

const Optional = (description: string) => Type.Optional(Type.String({ description }))

/** Texts all of them: what is wrong with one is said better below. */
export const JOB_FILTERS = {
  status: Optional(`One or several of ${JOB_STATUSES.join(', ')}, comma-separated`),
  model_id: Optional('The model, or one of its versions as id@version'),
  destination: Optional(`Jobs with such an output: one or several of ${DESTINATIONS.join(', ')}, comma-separated`),
  schedule_id: Optional('Only jobs that this schedule made'),
  submitted_from: Optional('A time, as 2026-01-31T00:00:00Z: jobs of then and later'),
  submitted_before: Optional('A time: jobs before it'),
  search: Optional(
    'Text that is in the id, the model, or the name of a table, path or topic, in capital or small letters',
  ),
}

type Query = Static<ReturnType<typeof Type.Object<typeof JOB_FILTERS>>>

export interface JobFilter {
  /** Ms since 1970. */
  readonly from: bigint | null
  readonly before: bigint | null
  /** Of a job within these times. */
  readonly fits: (job: JobSnapshot) => boolean
}

/** Throws `HttpProblem` with everything that is wrong. */
export function jobFilter(query: Query): JobFilter {
  const problems: Problem[] = []
  const refuse = (field: string, expected: string): void => {
    const detail = `expected ${expected}; got ${JSON.stringify(query[field as keyof Query]).slice(0, 100)}`
    problems.push({ code: 'invalid', pointer: `/${field}`, detail })
  }
  const someOf = <T extends string>(
    field: 'status' | 'destination',
    allowed: readonly T[],
  ): ReadonlySet<string> | null => {
    const given = query[field]?.split(',')
    if (given?.every((word) => (allowed as readonly string[]).includes(word)) === false)
      refuse(field, `one of ${allowed.join(', ')}, or several with commas between`)
    return given ? new Set(given) : null
  }
  const time = (field: 'submitted_from' | 'submitted_before'): bigint | null => {
    const text = query[field]
    if (text === undefined) return null
    const ms = timeOf(text)
    if (ms === null)
      refuse(field, 'a date or a time with its zone, as 2026-01-31T00:00:00Z (a + is written %2B in a URL)')
    return ms === null ? null : BigInt(ms)
  }
  const statuses = someOf('status', JOB_STATUSES)
  const destinations = someOf('destination', DESTINATIONS)
  const from = time('submitted_from')
  const before = time('submitted_before')
  if (problems.length) throw invalidRequest(problems)
  const { model_id, schedule_id } = query
  const search = query.search?.toLowerCase()
  const fits = (job: JobSnapshot): boolean =>
    (statuses === null || statuses.has(job.status)) &&
    (model_id === undefined || model_id === job.model_id || model_id === `${job.model_id}@${job.model_version}`) &&
    (schedule_id === undefined || schedule_id === job.schedule_id) &&
    (destinations === null || job.outputs.some(({ destination }) => destinations.has(destination))) &&
    (search === undefined || textsOf(job).some((text) => text.toLowerCase().includes(search)))
  return { from, before, fits }
}

function textsOf(job: JobSnapshot): string[] {
  const targets = job.outputs.flatMap(({ table_name, path, topic }) => [table_name, path, topic])
  return [job.job_id, `${job.model_id}@${job.model_version}`, ...targets.filter((target) => target !== null)]
}
