// /api/v1/inference/schedules: list, look at, change, delete. A schedule is made by a submission with a `schedule` in it.
import { type FastifyPluginAsyncTypebox, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { OVERLAP_POLICIES, type Schedule, SKIP_REASONS } from '../../../topics/schedules.ts'
import { upcoming } from '../../job/schedule.ts'
import { ScheduleChange } from '../../job/schedule-spec.ts'
import type { ProcessContext } from '../../process.ts'
import { cursorPlace, newerFirst, pageOf } from '../paging.ts'
import { ProblemBody } from '../problem.ts'
import { changeSchedule, deleteSchedule, noSuchSchedule } from './scheduling.ts'

const ROUTE = '/api/v1/inference/schedules'
const ScheduleId = Type.Object({ schedule_id: Type.String() })
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const ScheduleBody = Type.Object(
  {
    schedule_id: Type.String(),
    cron: Type.String(),
    timezone: Type.String(),
    enabled: Type.Boolean(),
    overlap: Type.Enum([...OVERLAP_POLICIES]),
    catchup_minutes: Type.Integer(),
    job: Type.Record(Type.String(), Type.Unknown(), { description: 'The submission that each firing stands for' }),
    created_at: Type.String(),
    last_fired_at: Nullable(Type.String({ description: 'When the last firing that made a job was due' })),
    last_job_id: Nullable(Type.String()),
    last_skipped: Nullable(
      Type.Object(
        { fire_at: Type.String(), reason: Type.Enum([...SKIP_REASONS]) },
        {
          description:
            'The last firing that made no job: one was not finished (`overlap`), or it was found too late (`missed`)',
        },
      ),
    ),
    recent_firings: Type.Array(
      Type.Object({
        fire_at: Type.String(),
        job_id: Nullable(Type.String()),
        skipped: Nullable(Type.Enum([...SKIP_REASONS])),
      }),
      { description: 'The last ten, newest first: the job that each made, or why it made none' },
    ),
    waiting_fire_at: Nullable(Type.String({ description: 'A firing that waits for the end of the job before it' })),
    next_fire_at: Nullable(Type.String({ description: 'Null while it is not enabled' })),
    next_firings: Type.Array(Type.String(), { description: 'The next three' }),
  },
  { title: 'Schedule' },
)

export type ScheduleBody = Static<typeof ScheduleBody>

/** Answers a submission that made a schedule. */
export function sendScheduled(reply: FastifyReply, schedule: Schedule): FastifyReply {
  return reply.status(201).header('location', `${ROUTE}/${schedule.schedule_id}`).send(shown(schedule))
}

export function scheduleRoutes(context: ProcessContext): FastifyPluginAsyncTypebox {
  const { views } = context

  /** The schedule that a request is about, if it is the tenant's. */
  async function find(request: FastifyRequest<{ Params: { schedule_id: string } }>): Promise<Schedule> {
    const schedule = await views.findSchedule(request.params.schedule_id)
    if (schedule?.tenant_id !== request.tenantId) throw noSuchSchedule(request.params.schedule_id)
    return schedule
  }

  return async (app) => {
    app.get(
      ROUTE,
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List schedules, newest first',
          tags: ['schedules'],
          querystring: Type.Object(
            {
              limit: Type.Optional(
                Type.String({ pattern: '^([1-9]\\d{0,2}|1000)$', default: '50', description: '1 to 1000' }),
              ),
              after: Type.Optional(Type.String({ description: '`next` of the page before' })),
            },
            { additionalProperties: false },
          ),
          response: {
            200: Type.Object({
              data: Type.Array(ScheduleBody),
              has_more: Type.Boolean(),
              next: Nullable(Type.String()),
            }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const { limit = '50', after } = request.query
        const place = cursorPlace(after)
        const own = [...views.schedules.values()]
          .filter(({ tenant_id }) => tenant_id === request.tenantId)
          .filter((schedule) => place === null || newerFirst(placeOf(schedule), place) > 0)
          .sort((a, b) => newerFirst(placeOf(a), placeOf(b)))
        const { entries, next } = pageOf(own, placeOf, Number(limit))
        return { data: entries.map(shown), has_more: next !== null, next }
      },
    )

    app.get(
      `${ROUTE}/:schedule_id`,
      {
        config: { scope: 'read' },
        schema: {
          summary: 'A schedule, its last firing and its next ones',
          tags: ['schedules'],
          params: ScheduleId,
          response: { 200: ScheduleBody, '4xx': ProblemBody },
        },
      },
      async (request) => shown(await find(request)),
    )

    app.patch(
      `${ROUTE}/:schedule_id`,
      {
        config: { scope: 'submit' },
        schema: {
          summary: 'Change a schedule: its times, its job, pause it or let it go on',
          description:
            'What is not named stays as it is. Pausing drops a firing that waits; after a pause, or with new times, it fires from now on.',
          tags: ['schedules'],
          params: ScheduleId,
          body: ScheduleChange,
          response: { 200: ScheduleBody, '4xx': ProblemBody },
        },
        // Checked by the function that direct Kafka commands go through as well.
        validatorCompiler: (route) =>
          route.httpPart === 'body' ? (value: unknown) => ({ value }) : TypeBoxValidatorCompiler(route),
      },
      async (request) => shown(await changeSchedule(await find(request), request.body, context)),
    )

    app.delete(
      `${ROUTE}/:schedule_id`,
      {
        config: { scope: 'submit' },
        schema: {
          summary: 'Delete a schedule; jobs that it made go on',
          tags: ['schedules'],
          params: ScheduleId,
          response: { 204: Type.Null(), '4xx': ProblemBody },
        },
      },
      async (request, reply) => {
        await deleteSchedule(await find(request), context)
        return reply.status(204).send(null)
      },
    )
  }
}

function placeOf({ created_at, schedule_id }: Schedule): { at: bigint; id: string } {
  return { at: created_at, id: schedule_id }
}

function shown(schedule: Schedule): ScheduleBody {
  const { schedule_id, cron, timezone, enabled, overlap, catchup_minutes, job, last_skipped } = schedule
  return {
    schedule_id,
    cron,
    timezone,
    enabled,
    overlap,
    catchup_minutes,
    job: JSON.parse(job),
    created_at: timeText(schedule.created_at),
    last_fired_at: timeOrNull(schedule.last_fired_at),
    last_job_id: schedule.last_job_id,
    last_skipped: last_skipped && { ...last_skipped, fire_at: timeText(last_skipped.fire_at) },
    recent_firings: schedule.recent_firings.map((firing) => ({ ...firing, fire_at: timeText(firing.fire_at) })),
    waiting_fire_at: timeOrNull(schedule.waiting_fire_at),
    next_fire_at: timeOrNull(schedule.next_fire_at),
    next_firings: upcoming(schedule, 3).map((at) => timeText(BigInt(at))),
  }
}

function timeOrNull(ms: bigint | null): string | null {
  return ms === null ? null : timeText(ms)
}

function timeText(ms: bigint): string {
  return new Date(Number(ms)).toISOString()
}
