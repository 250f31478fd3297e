// /api/v1/inference/batch/:job_id/events and /api/v1/inference/events: server-sent events of one job, and of all.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type from 'typebox'
import type { ProcessContext } from '../../process.ts'
import type { FindJob } from '../jobs/job-routes.ts'
import type { LiveJobs } from '../jobs/live-jobs.ts'
import { lastEventId } from './event-stream.ts'
import { streamJob } from './job-events.ts'
import { streamTenant } from './tenant-events.ts'

const RESUME =
  'A client that connects again with `Last-Event-ID`, as every EventSource does, gets what changed since, also from another API process.'

const Headers = Type.Object({
  'last-event-id': Type.Optional(Type.String({ description: 'The id of the last event that the client got' })),
})

export function eventRoutes({ views }: ProcessContext, live: LiveJobs, findJob: FindJob): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/api/v1/inference/batch/:job_id/events',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'Follow a job: server-sent events, the last one when it is finished',
          description: `\`status\` at a change of state, \`progress\` up to four times a second; the data is the job's status. ${RESUME} Nothing is left to tell (204) when that was the job's end.`,
          tags: ['jobs'],
          params: Type.Object({ job_id: Type.String() }),
          headers: Headers,
          produces: ['text/event-stream'],
        },
      },
      async (request, reply) => {
        const job = await findJob(request)
        streamJob(job, lastEventId(request), reply, views, live)
        return reply
      },
    )

    app.get(
      '/api/v1/inference/events',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'Follow all jobs: server-sent events without an end',
          description: `\`open\` at first: what changes from now on will come, so list the jobs then. \`job\` with a changed job's status, at most four times a second for each; \`gone\` with the id of one whose time was up. ${RESUME}`,
          tags: ['jobs'],
          headers: Headers,
          produces: ['text/event-stream'],
        },
      },
      async (request, reply) => {
        streamTenant(request.tenantId, lastEventId(request), reply, views, live)
        return reply
      },
    )
  }
}
