// /api/v1/inference/batch/:job_id/errors: the rows that failed, and a new job over just those.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type from 'typebox'
import { isTerminal } from '../../../topics/jobs.ts'
import type { ProcessContext } from '../../process.ts'
import { type FindJob, IdempotencyHeader, SubmittedBody, sendSubmitted } from '../jobs/job-routes.ts'
import type { LiveJobs } from '../jobs/live-jobs.ts'
import { submitJob } from '../jobs/submission.ts'
import { type Validate, ValidateOnly, ValidBody } from '../jobs/validation.ts'
import { HttpProblem, ProblemBody } from '../problem.ts'
import { FailedRows } from './failed-rows.ts'
import { redriveRequest } from './redrive.ts'

const JobId = Type.Object({ job_id: Type.String() })

/** Their keys, or the rows themselves, are in the new job's query. */
const MAX_REDRIVEN_ROWS = 10_000

const FailedRowBody = Type.Object({
  id: Type.String({ description: 'Attempt, lane, chunk and row: the same row always has the same' }),
  key: Type.Union([Type.String(), Type.Null()], { description: "Value in the job's key column" }),
  reason: Type.String(),
  input: Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]), {
    description: 'The columns of the query as text, null for NULL; long values are cut',
  }),
  at: Type.String(),
})

/** Checked as part of the new job's whole body. */
const RedriveBody = Type.Object(
  {
    model_id: Type.Optional(Type.Unknown()),
    output: Type.Optional(Type.Unknown()),
    outputs: Type.Optional(Type.Unknown()),
    config: Type.Optional(Type.Unknown()),
  },
  { additionalProperties: false },
)

export function errorRoutes(
  context: ProcessContext,
  live: LiveJobs,
  findJob: FindJob,
  validate: Validate,
): FastifyPluginAsyncTypebox {
  const failedRows = new FailedRows(context)
  return async (app) => {
    app.addHook('onClose', () => failedRows.close())

    app.get(
      '/api/v1/inference/batch/:job_id/errors',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'Rows that could not be scored, with their reasons',
          tags: ['jobs'],
          params: JobId,
          querystring: Type.Object(
            {
              limit: Type.Optional(
                Type.String({ pattern: '^([1-9]\\d{0,2}|1000)$', default: '100', description: '1 to 1000' }),
              ),
              after: Type.Optional(Type.String({ pattern: '^\\d{1,18}$', description: '`next` of the page before' })),
            },
            { additionalProperties: false },
          ),
          response: {
            200: Type.Object({
              data: Type.Array(FailedRowBody),
              has_more: Type.Boolean(),
              next: Type.Union([Type.String(), Type.Null()]),
            }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const { limit = '100', after } = request.query
        const job = await findJob(request)
        const { rows, next } = await failedRows.page(job, after === undefined ? null : BigInt(after), Number(limit))
        return { data: rows, has_more: next !== null, next: next === null ? null : String(next) }
      },
    )

    app.post(
      '/api/v1/inference/batch/:job_id/errors/redrive',
      {
        config: { scope: 'submit' },
        schema: {
          summary: 'Submit a job over just the rows that failed',
          description:
            'With a key column the rows are read again from the database, else they are those of the dead letters. ' +
            'The new job takes the newest version of the model and adds to the outputs; fields of the body (`model_id`, `output`, `outputs`, `config`) replace those of the first job.',
          tags: ['jobs'],
          params: JobId,
          headers: IdempotencyHeader,
          querystring: ValidateOnly,
          body: Type.Union([RedriveBody, Type.Null()]),
          response: { 200: ValidBody, 202: SubmittedBody, '4xx': ProblemBody },
        },
      },
      async (request, reply) => {
        const job = await findJob(request)
        if (!isTerminal(job.status)) {
          const detail = `job ${job.job_id} is ${job.status}; rows may still fail. Wait until it is finished, or cancel it`
          throw new HttpProblem(409, 'job_not_finished', detail)
        }
        const { rows, next } = await failedRows.page(job, null, MAX_REDRIVEN_ROWS)
        if (!rows.length)
          throw new HttpProblem(409, 'nothing_to_redrive', `job ${job.job_id} has no failed row (any more)`)
        if (next !== null) {
          const detail = `more than ${MAX_REDRIVEN_ROWS} rows failed; submit the job again, or one with a query for these rows`
          throw new HttpProblem(409, 'too_many_failed_rows', detail)
        }
        const body = await redriveRequest(job, rows, request.body ?? {}, context.connectors.source)
        if (request.query.validate_only === 'true') return reply.status(200).send(await validate(body, job.tenant_id))
        const submitted = await submitJob(body, job.tenant_id, request.headers['idempotency-key'], context)
        return sendSubmitted(reply, submitted, live)
      },
    )
  }
}
