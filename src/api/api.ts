// API: REST, live events and OpenAPI over what this process knows from the topics. It decides nothing about jobs: it
// checks requests, writes commands and shows what the controllers and workers say.
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import { schemaProblems } from '../job/spec.ts'
import { GroupOffsets } from '../kafka/group-offsets.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { guardRoutes } from './access/access.ts'
import { KeyRing } from './access/key-ring.ts'
import { kafkaRoutes } from './cluster/kafka-routes.ts'
import { workerRoutes } from './cluster/worker-routes.ts'
import { dashboard } from './dashboard/dashboard.ts'
import { eventRoutes } from './events/event-routes.ts'
import { errorRoutes } from './failures/error-routes.ts'
import { flowRoutes } from './flow/flow-routes.ts'
import { healthRoutes } from './health.ts'
import { jobFinder, jobRoutes } from './jobs/job-routes.ts'
import { LiveJobs } from './jobs/live-jobs.ts'
import { validator } from './jobs/validation.ts'
import { serveMetrics } from './metrics.ts'
import { IsolatedModels } from './models/isolated-models.ts'
import { modelRoutes } from './models/model-routes.ts'
import { invalidRequest, notFound, sendProblem, toProblem } from './problem.ts'
import { resultRoutes } from './results/result-routes.ts'
import { scheduleRoutes } from './schedules/schedule-routes.ts'

export async function startApi(context: ProcessContext): Promise<RunningRole> {
  const app = await buildServer(context)
  const { host, port } = context.config
  const url = await app.listen({ host, port })
  return { url, owned: () => [], drain: () => app.close() }
}

async function buildServer(context: ProcessContext) {
  // Live event streams never end by themselves, so closing must not wait for them.
  const app = Fastify({
    loggerInstance: context.log.child({}, { level: 'warn' }) as FastifyBaseLogger,
    forceCloseConnections: true,
    // Long enough that a name that is too long reaches the check that says so.
    routerOptions: { maxParamLength: 1_000 },
    frameworkErrors: (error, _request, reply) => sendProblem(reply, toProblem(error)),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  // Every body is JSON, or a model's bytes.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler((error, request, reply) => {
    const { validation, validationContext } = error as {
      validation?: Parameters<typeof schemaProblems>[0]
      validationContext?: string
    }
    if (validation) {
      const value = {
        body: request.body,
        querystring: request.query,
        params: request.params,
        headers: request.headers,
      }[validationContext ?? 'body']
      return sendProblem(reply, invalidRequest(schemaProblems(validation, value)))
    }
    const problem = toProblem(error)
    if (problem.status >= 500) request.log.error({ err: error }, 'request failed')
    return sendProblem(reply, problem)
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, notFound(`${request.method} ${request.url}`, 'GET /docs describes what there is')),
  )
  guardRoutes(app, await KeyRing.open(context.config.apiKeys, context.config.apiKeysFile, context.log))
  await app.register(swagger, {
    openapi: {
      info: {
        title: 'Scoreline',
        version: '1.0.0',
        description:
          'Score the rows of a SQL query with an ONNX model; predictions go to a table or to files, exactly once.',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  const offsets = new GroupOffsets(context.client)
  app.addHook('onClose', () => offsets.close())
  serveMetrics(app, context.views, offsets)
  await app.register(healthRoutes(context))
  const live = new LiveJobs(context.views)
  const findJob = jobFinder(context)
  const isolated = new IsolatedModels(context.log)
  app.addHook('onClose', async () => isolated.close())
  const validate = validator(context, live, isolated)
  await app.register(jobRoutes(context, live, findJob, validate))
  await app.register(eventRoutes(context, live, findJob))
  await app.register(resultRoutes(context, findJob))
  await app.register(scheduleRoutes(context))
  await app.register(errorRoutes(context, live, findJob, validate))
  await app.register(await modelRoutes(context, isolated))
  await app.register(flowRoutes(context, offsets, findJob))
  await app.register(workerRoutes(context))
  await app.register(kafkaRoutes(context, offsets))
  await app.register(dashboard)
  return app
}
