// /api/v1/workers: the processes of the service, as their heartbeats say.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type from 'typebox'
import { ROLES, type WorkerHeartbeat } from '../../../topics/workers.ts'
import type { ProcessContext } from '../../process.ts'
import { ProblemBody } from '../problem.ts'
import { WorkerBody, workerBody } from './worker-body.ts'

export function workerRoutes({ views }: ProcessContext): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/api/v1/workers',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The processes of the service: what they do, what they cost, which are lost',
          tags: ['cluster'],
          response: { 200: Type.Object({ data: Type.Array(WorkerBody) }), '4xx': ProblemBody },
        },
      },
      async (request) => {
        const now = Date.now()
        const isOwn = (jobId: string): boolean => views.jobs.get(jobId)?.tenant_id === request.tenantId
        const all = [...views.workers.values()].sort(inFlowOrder)
        return { data: all.map((worker) => workerBody(worker, now, isOwn)) }
      },
    )
  }
}

function inFlowOrder(a: WorkerHeartbeat, b: WorkerHeartbeat): number {
  return ROLES.indexOf(a.role) - ROLES.indexOf(b.role) || Number(a.started_at - b.started_at)
}
