// /api/v1/inference/batch: submit, list, status, cancel.
import { type FastifyPluginAsyncTypebox, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { JOB_STATUSES, type JobSnapshot } from '../../../topics/jobs.ts'
import { JobStatusBody } from '../../job/job-status.ts'
import { isScheduled } from '../../job/schedule.ts'
import { JobRequest } from '../../job/spec.ts'
import type { ProcessContext } from '../../process.ts'
import { cursorPlace } from '../paging.ts'
import { notFound, ProblemBody } from '../problem.ts'
import { ScheduleBody, sendScheduled } from '../schedules/schedule-routes.ts'
import { submitSchedule } from '../schedules/scheduling.ts'
import { JOB_FILTERS, jobFilter } from './job-filter.ts'
import type { LiveJobs } from './live-jobs.ts'
import { cancelJob, minutesOf, type Submitted, submitJob } from './submission.ts'
import { type Validate, ValidateOnly, ValidBody } from './validation.ts'

const JobId = Type.Object({ job_id: Type.String() })
const strict = { additionalProperties: false }

export const SubmittedBody = Type.Object({
  job_id: Type.String(),
  status: Type.Enum([...JOB_STATUSES]),
  estimated_duration_minutes: Type.Number({ description: "From this model version's history, else a guess" }),
  input_row_count: Type.Integer(),
  input_row_count_estimated: Type.Boolean({
    description: "True: counting took too long, and this is the database planner's estimate",
  }),
})

export const IdempotencyHeader = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'The same key and body answer with the same job' }),
  ),
})

/** The job that a request is about, if it is the tenant's. */
export type FindJob = (request: FastifyRequest<{ Params: { job_id: string } }>) => Promise<JobSnapshot>

export function jobFinder({ views }: ProcessContext): FindJob {
  return async (request) => {
    const job = await views.findJob(request.params.job_id)
    if (!job || job.tenant_id !== request.tenantId)
      throw notFound(`job ${request.params.job_id}`, 'GET /api/v1/inference/batch lists yours')
    return job
  }
}

/** Answers a submission. */
export function sendSubmitted(reply: FastifyReply, submitted: Submitted, live: LiveJobs): FastifyReply {
  const { jobId, rows, rowsEstimated, job } = submitted
  return reply
    .status(202)
    .header('location', `/api/v1/inference/batch/${jobId}`)
    .send({
      job_id: jobId,
      status: job?.status ?? 'submitted',
      estimated_duration_minutes: minutesOf(live.estimateMs(submitted.estimated)),
      input_row_count: Number(rows),
      input_row_count_estimated: rowsEstimated,
    })
}

export function jobRoutes(
  context: ProcessContext,
  live: LiveJobs,
  findJob: FindJob,
  validate: Validate,
): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/api/v1/inference/batch',
      {
        config: { scope: 'submit' },
        schema: {
          summary: 'Submit a job, or with a `schedule` in it, make one',
          tags: ['jobs'],
          headers: IdempotencyHeader,
          querystring: ValidateOnly,
          body: JobRequest,
          response: { 200: ValidBody, 201: ScheduleBody, 202: SubmittedBody, '4xx': ProblemBody },
        },
        // The body is checked by the function that direct Kafka commands go through as well, so both say the same.
        validatorCompiler: (route) =>
          route.httpPart === 'body' ? (value: unknown) => ({ value }) : TypeBoxValidatorCompiler(route),
      },
      async (request, reply) => {
        if (request.query.validate_only === 'true')
          return reply.status(200).send(await validate(request.body, request.tenantId))
        const key = request.headers['idempotency-key']
        if (isScheduled(request.body))
          return sendScheduled(reply, await submitSchedule(request.body, request.tenantId, key, context))
        return sendSubmitted(reply, await submitJob(request.body, request.tenantId, key, context), live)
      },
    )

    app.get(
      '/api/v1/inference/batch',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List jobs, newest first',
          tags: ['jobs'],
          querystring: Type.Object(
            {
              ...JOB_FILTERS,
              // A text: the type provider would turn 1.5 and true into whole numbers.
              limit: Type.Optional(
                Type.String({ pattern: '^([1-9]\\d{0,2}|1000)$', default: '50', description: '1 to 1000' }),
              ),
              after: Type.Optional(Type.String({ description: '`next` of the page before' })),
            },
            strict,
          ),
          response: {
            200: Type.Object({
              data: Type.Array(JobStatusBody),
              has_more: Type.Boolean(),
              next: Type.Union([Type.String(), Type.Null()]),
            }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const { limit = '50', after, ...filters } = request.query
        const { entries, next } = live.list(request.tenantId, jobFilter(filters), cursorPlace(after), Number(limit))
        return { data: entries.map((job) => live.status(job)), has_more: next !== null, next }
      },
    )

    app.get(
      '/api/v1/inference/batch/:job_id',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'Status of a job',
          tags: ['jobs'],
          params: JobId,
          response: { 200: JobStatusBody, '4xx': ProblemBody },
        },
      },
      async (request) => live.status(await findJob(request)),
    )

    app.post(
      '/api/v1/inference/batch/:job_id/cancel',
      {
        config: { scope: 'submit' },
        schema: {
          summary: 'Cancel a job',
          tags: ['jobs'],
          params: JobId,
          response: { 200: JobStatusBody, '4xx': ProblemBody },
        },
      },
      async (request) => live.status(await cancelJob(await findJob(request), context)),
    )
  }
}
