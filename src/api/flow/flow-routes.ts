// /api/v1/inference/batch/:job_id/flow, /first-rows, /request: what a page about a job shows beside its status.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type from 'typebox'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { isTerminal } from '../../../topics/jobs.ts'
import type { GroupLag, GroupOffsets } from '../../kafka/group-offsets.ts'
import type { ProcessContext } from '../../process.ts'
import type { FindJob } from '../jobs/job-routes.ts'
import { ProblemBody } from '../problem.ts'
import { FirstRows } from './first-rows.ts'
import { type Flow, flowOf, groupsOf } from './flow.ts'
import { requestOf } from './request.ts'

const JobId = Type.Object({ job_id: Type.String() })
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const Counts = Type.Object({ chunks: Type.Integer(), rows: Type.Integer() })

const FlowBody = Type.Object({
  job_id: Type.String(),
  attempt: Type.Integer(),
  at: Type.String(),
  nodes: Type.Array(
    Type.Object({
      role: Type.Enum(['reader', 'scorer', 'sink']),
      output: Nullable(Type.Integer({ description: 'Of a sink: which of the outputs' })),
      chunks: Type.Integer(),
      rows: Type.Integer(),
      failed_rows: Type.Integer(),
      bytes: Type.Integer(),
      done: Type.Boolean(),
      busy_share: Nullable(
        Type.Number({ description: 'Of its workers, whatever they work on: share of the last seconds' }),
      ),
      back_pressured_share: Nullable(Type.Number({ description: 'It waited for others to take what they were given' })),
      chunk_p95_ms: Nullable(Type.Number()),
      workers: Type.Array(Type.String()),
    }),
  ),
  edges: Type.Array(
    Type.Object({
      topic: Type.String({ description: 'Without the prefix' }),
      group: Type.String({ description: 'Consumer group, without the prefix' }),
      output: Nullable(Type.Integer()),
      lag_chunks: Type.Integer(),
      lag_rows: Type.Integer(),
      lanes: Type.Array(
        Type.Object({
          lane: Type.Integer({ description: 'Partition of the topic' }),
          sent: Counts,
          done: Counts,
          lag_chunks: Type.Integer(),
          lag_rows: Type.Integer(),
          end_offset: Type.String(),
          committed_offset: Nullable(Type.String()),
          partition_lag: Type.Integer({ description: 'Records of any job that the group has before it' }),
          owner: Nullable(Type.String({ description: 'The worker that owns the lane' })),
        }),
      ),
    }),
  ),
})

export function flowRoutes(
  context: ProcessContext,
  offsets: GroupOffsets,
  findJob: FindJob,
): FastifyPluginAsyncTypebox {
  const { views, client } = context
  const firstRows = new FirstRows(client)

  async function flow(job: JobSnapshot): Promise<Flow> {
    const groups = isTerminal(job.status) || job.lanes.length === 0 ? [] : groupsOf(job)
    const lags = new Map<string, GroupLag[]>(
      await Promise.all(
        groups.map(async ({ group, topic }) => [group, await offsets.lags(topic, group)] as [string, GroupLag[]]),
      ),
    )
    const entries = views.progressOf(job.job_id)
    return flowOf(job, { entries, workers: views.workers.values(), lags, now: Date.now() })
  }

  return async (app) => {
    app.addHook('onClose', () => firstRows.close())

    app.get(
      '/api/v1/inference/batch/:job_id/flow',
      {
        config: { scope: 'read' },
        schema: {
          summary:
            'The dataflow of a job that runs: what each stage has done, and what waits between them, lane by lane',
          tags: ['jobs'],
          params: JobId,
          response: { 200: FlowBody, '4xx': ProblemBody },
        },
      },
      async (request) => {
        const job = await findJob(request)
        const at = new Date().toISOString()
        return { job_id: job.job_id, attempt: job.attempt, at, ...(await flow(job)) }
      },
    )

    app.get(
      '/api/v1/inference/batch/:job_id/first-rows',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The first rows that were scored, within a moment; for a day also of a finished job',
          tags: ['jobs'],
          params: JobId,
          response: {
            200: Type.Object({ rows: Nullable(Type.Array(Type.Record(Type.String(), Type.Unknown()))) }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const job = await findJob(request)
        return { rows: await firstRows.of(job, views.progressOf(job.job_id)) }
      },
    )

    app.get(
      '/api/v1/inference/batch/:job_id/request',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The submission that makes this job again, every default filled in',
          tags: ['jobs'],
          params: JobId,
          response: { 200: Type.Record(Type.String(), Type.Unknown()), '4xx': ProblemBody },
        },
      },
      async (request) => requestOf(await findJob(request)),
    )
  }
}
