// /livez and /readyz: is this process alive, and is the whole service able to do a job.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ROLES, WORKER_LOST_MS } from '../../topics/workers.ts'
import type { ProcessContext } from '../process.ts'

/** A dependency that has not answered by then counts as down. */
const ANSWER_MS = 3_000

export function healthRoutes(context: ProcessContext): FastifyPluginAsyncTypebox {
  const { config, views, connectors } = context
  return async (app) => {
    app.get('/livez', { schema: { summary: 'This process is alive', tags: ['health'] } }, async () => ({
      status: 'ok',
    }))
    app.get(
      '/readyz',
      { schema: { summary: 'Every role and dependency is up (200), or not (503)', tags: ['health'] } },
      async (_request, reply) => {
        const [kafka, ...databases] = await Promise.all([
          outcome(views.caughtUp()),
          ...Object.keys(config.connections).map(async (connection) => ({
            connection,
            status: await outcome(ping(connection)),
          })),
        ])
        // Counted after the barrier: a heartbeat that was written before the question is in the answer.
        const roles = Object.fromEntries(ROLES.map((role) => [role, liveWorkers(role)]))
        const ready =
          kafka === 'up' &&
          databases.every(({ status }) => status === 'up') &&
          Object.values(roles).every((count) => count > 0)
        return reply.status(ready ? 200 : 503).send({
          status: ready ? 'ready' : 'not_ready',
          kafka: { brokers: config.kafkaBrokers.join(','), status: kafka },
          databases: Object.fromEntries(databases.map(({ connection, status }) => [connection, status])),
          roles,
        })
      },
    )
  }

  function liveWorkers(role: string): number {
    const since = BigInt(Date.now() - WORKER_LOST_MS)
    return [...views.workers.values()].filter((worker) => worker.role === role && worker.at >= since).length
  }

  async function ping(connection: string): Promise<void> {
    await connectors.source.describe({ source: 'sql', query: 'SELECT 1 AS up', connection, key_column: null })
  }
}

async function outcome(work: Promise<void>): Promise<string> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve(`no answer within ${ANSWER_MS / 1000} s`), ANSWER_MS)
  try {
    return await Promise.race([work.then(() => 'up'), late.promise])
  } catch (error) {
    return (error as Error).message
  } finally {
    clearTimeout(timer)
  }
}
