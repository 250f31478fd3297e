// /api/v1/inference/batch/:job_id/results: what a completed job wrote, and how to get it.

import { basename, dirname } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type from 'typebox'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { sinkJob } from '../../job/sink-job.ts'
import type { ProcessContext } from '../../process.ts'
import type { FindJob } from '../jobs/job-routes.ts'
import { HttpProblem, notFound, ProblemBody } from '../problem.ts'
import { ResultBody, resultsOf } from './results.ts'

const ROUTE = '/api/v1/inference/batch/:job_id/results'

export function resultRoutes(context: ProcessContext, findJob: FindJob): FastifyPluginAsyncTypebox {
  return async (app) => {
    // Ranges, ETag and Last-Modified for downloads; it serves nothing by itself.
    await app.register(fastifyStatic, { root: context.config.dataDir, serve: false })

    app.get(
      ROUTE,
      {
        config: { scope: 'read' },
        schema: {
          summary: 'What a completed job wrote: files with links, a table, a topic',
          description: 'A link into an object store works for an hour, for anybody; ask again for a new one.',
          tags: ['jobs'],
          params: Type.Object({ job_id: Type.String() }),
          response: {
            200: Type.Object({ job_id: Type.String(), results: Type.Array(ResultBody) }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const job = requireCompleted(await findJob(request))
        return { job_id: job.job_id, results: await resultsOf(job, context) }
      },
    )

    app.get(
      `${ROUTE}/:output/:name`,
      {
        config: { scope: 'read' },
        schema: {
          summary: 'A file of the result, by the link that the results give',
          description: 'Answers ranges. A file in an object store is there by a redirect to it.',
          tags: ['jobs'],
          params: Type.Object({ job_id: Type.String(), output: Type.String(), name: Type.String() }),
          produces: ['application/octet-stream'],
        },
      },
      async (request, reply) => {
        const job = requireCompleted(await findJob(request))
        const { output, name } = request.params
        const wanted = /^\d$/.test(output) ? job.outputs[Number(output)] : undefined
        const files = wanted && context.connectors.sinkFor(wanted.destination)?.files
        const attempt = sinkJob(job, Number(output))
        const path = await files?.pathOf(attempt, name)
        if (path) {
          reply.header('content-disposition', `attachment; filename="${basename(path)}"`)
          return reply.sendFile(basename(path), dirname(path))
        }
        const described = await files?.describe(attempt)
        const link = described?.files.find((file) => file.name === name)?.link
        if (link) return reply.redirect(link.href)
        throw notFound(`file ${name} in output ${output} of job ${job.job_id}`, `GET ${ROUTE} lists them`)
      },
    )
  }
}

function requireCompleted(job: JobSnapshot): JobSnapshot {
  if (job.status === 'completed') return job
  const advice = job.finished_at === null ? 'wait until it is completed' : 'it has no result'
  throw new HttpProblem(409, 'job_not_completed', `job ${job.job_id} is ${job.status}; ${advice}`)
}
