// /metrics for Prometheus: what this API process knows of the whole service, and how it is itself. Everything is counted
// when somebody asks, so it costs nothing in between. All API processes tell the same of the service: take one, or the max.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'
import type { FastifyInstance } from 'fastify'
import { chunksTopics } from '../../topics/chunks.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { JOB_STATUSES, type JobSnapshot } from '../../topics/jobs.ts'
import { readsTopic } from '../../topics/reads.ts'
import { scoredTopics } from '../../topics/scored.ts'
import type { TopicSpec } from '../../topics/topic.ts'
import { WORKER_LOST_MS } from '../../topics/workers.ts'
import { withLedger } from '../job/job-status.ts'
import { scorerGroup } from '../kafka/drained-lanes.ts'
import type { GroupOffsets } from '../kafka/group-offsets.ts'
import type { Views } from '../kafka/views.ts'

/** Brokers that do not answer must not make the rest of the figures wait. */
const LAG_MS = 3_000
/** What each group consumes. */
const GROUPS: readonly { readonly group: string; readonly topic: TopicSpec }[] = [
  { group: 'controller', topic: commandsTopic },
  { group: 'reader', topic: readsTopic },
  { group: scorerGroup('cpu'), topic: chunksTopics.cpu },
  { group: scorerGroup('gpu'), topic: chunksTopics.gpu },
  { group: 'sink.table', topic: scoredTopics.table },
  { group: 'sink.files', topic: scoredTopics.files },
  { group: 'sink.kafka', topic: scoredTopics.kafka },
]
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Adds the route, and measures the requests of all routes that are added from now on. */
export function serveMetrics(app: FastifyInstance, views: Views, offsets: GroupOffsets): void {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  measureJobs(registry, views)
  measureWorkers(registry, views)
  measureLag(registry, offsets)
  measureRequests(registry, app)
  app.get('/metrics', { schema: { summary: 'Figures for Prometheus', tags: ['health'] } }, async (_request, reply) => {
    const text = await registry.metrics()
    return reply.type(registry.contentType).send(text)
  })
}

function measureJobs(registry: Registry, views: Views): void {
  new Gauge({
    name: 'scoreline_jobs',
    help: 'Jobs of all tenants that are kept, by status',
    labelNames: ['status'],
    registers: [registry],
    collect() {
      const counts = new Map<string, number>(JOB_STATUSES.map((status) => [status, 0]))
      for (const { status } of views.jobs.values()) counts.set(status, (counts.get(status) ?? 0) + 1)
      for (const [status, count] of counts) this.set({ status }, count)
    },
  })
  const rows = new RowCounter(views)
  new Counter({
    name: 'scoreline_rows_total',
    help: 'Rows of all jobs since this process started, by stage: read, scored, written to every output, failed',
    labelNames: ['stage'],
    registers: [registry],
    collect() {
      for (const [stage, more] of Object.entries(rows.sinceLastTime())) this.inc({ stage }, more)
    },
  })
}

type Rows = Record<'read' | 'scored' | 'written' | 'failed', number>

/** What the jobs' counts have grown by: they are per attempt and vanish with their jobs, and a counter may not go back. */
export class RowCounter {
  readonly #views: Views
  #last = new Map<string, { attempt: number; rows: Rows }>()

  constructor(views: Views) {
    this.#views = views
    this.sinceLastTime()
  }

  sinceLastTime(): Rows {
    const grown: Rows = { read: 0, scored: 0, written: 0, failed: 0 }
    const now = new Map<string, { attempt: number; rows: Rows }>()
    for (const job of this.#views.jobs.values()) {
      const rows = rowsOf(withLedger(job, this.#views.progressOf(job.job_id)))
      const last = this.#last.get(job.job_id)
      const before = last?.attempt === job.attempt ? last.rows : undefined
      for (const stage of Object.keys(grown) as (keyof Rows)[])
        grown[stage] += Math.max(0, rows[stage] - (before?.[stage] ?? 0))
      now.set(job.job_id, { attempt: job.attempt, rows })
    }
    this.#last = now
    return grown
  }
}

function rowsOf({ read_rows, processed_rows, written_rows, failed_rows }: JobSnapshot): Rows {
  return {
    read: Number(read_rows),
    scored: Number(processed_rows),
    written: Number(written_rows),
    failed: Number(failed_rows),
  }
}

function measureWorkers(registry: Registry, views: Views): void {
  new Gauge({
    name: 'scoreline_workers',
    help: 'Live processes, by role and (of scorers) pool',
    labelNames: ['role', 'pool'],
    registers: [registry],
    collect() {
      this.reset()
      const since = BigInt(Date.now() - WORKER_LOST_MS)
      for (const { role, pool, at } of views.workers.values()) if (at >= since) this.inc({ role, pool })
    },
  })
}

function measureLag(registry: Registry, offsets: GroupOffsets): void {
  const read = () =>
    Promise.all(
      GROUPS.map(async ({ group, topic }) => {
        const lags = await offsets.lags(topic, group)
        return { labels: { group, topic: topic.name }, lag: lags.reduce((sum, { lag }) => sum + Number(lag), 0) }
      }),
    )
  new Gauge({
    name: 'scoreline_consumer_lag',
    help: 'Offsets that a consumer group is behind the end of its topic; missing while Kafka does not answer',
    labelNames: ['group', 'topic'],
    registers: [registry],
    async collect() {
      const late = Promise.withResolvers<null>()
      const timer = setTimeout(late.resolve, LAG_MS, null)
      const lags = await Promise.race([read().catch(() => null), late.promise])
      clearTimeout(timer)
      this.reset()
      for (const { labels, lag } of lags ?? []) this.set(labels, lag)
    },
  })
}

function measureRequests(registry: Registry, app: FastifyInstance): void {
  const durations = new Histogram({
    name: 'scoreline_http_request_duration_seconds',
    help: 'Time to answer, by route; live events are not in it',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
    registers: [registry],
  })
  app.addHook('onResponse', async (request, reply) => {
    // The route, and not the path: a label for each job would grow for ever.
    const route = request.routeOptions.url ?? 'none'
    if (reply.raw.getHeader('content-type') === 'text/event-stream') return
    durations.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
  })
}
