// The API as a client sees it: submitting once, listing, following, tenants, documentation.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ROLES } from '../../topics/workers.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  JOBS,
  jobsInto,
  modelBytes,
  registerModel,
  run,
  seedCustomers,
  smallJob,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { kafkaBrokers } from '../harness/servers.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ROWS = 120_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'rest' })
  await seedCustomers(service, ROWS)
  await service.query('ANALYZE customers')
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

async function rowsIn(name: string): Promise<number> {
  const [row] = await service.query<{ rows: number }>(`SELECT count(*)::int AS rows FROM predictions.${name}`)
  return row?.rows ?? 0
}

describe('submitting', () => {
  test('is answered with 202, Location and the job’s id; the status has every field', async () => {
    const { status, headers, body } = await service.request(JOBS, { body: smallJob('submitted') })
    expect(status).toBe(202)
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(body).toEqual({
      job_id: expect.stringMatching(/^batch-[0-9a-f]{20}$/),
      status: 'submitted',
      estimated_duration_minutes: expect.any(Number),
      input_row_count: 10,
      input_row_count_estimated: false,
    })
    expect(headers.get('location')).toBe(`${JOBS}/${body.job_id}`)

    await completed(service, body.job_id)
    const job = (await service.request(headers.get('location') as string)).body
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(job).toEqual({
      job_id: body.job_id,
      status: 'completed',
      schedule_id: null,
      model_id: 'churn',
      model_version: 1,
      progress: {
        total_rows: 10,
        processed_rows: 10,
        percentage: 100,
        read_rows: 10,
        written_rows: 10,
        failed_rows: 0,
        rows_per_second: expect.any(Number),
      },
      submitted_at: time,
      started_at: time,
      estimated_completion: null,
      finished_at: time,
      attempt: 1,
      failed_attempts: [],
      queue_position: null,
      pool: 'cpu',
      waiting_for: null,
      past_waits: [],
      history: ['preparing', 'running', 'completing', 'completed'].map((status) => ({ status, attempt: 1, at: time })),
      webhook: null,
      error: null,
      output: {
        destination: 'table',
        connection: 'warehouse',
        table_name: 'predictions.submitted',
        mode: 'overwrite',
      },
      outputs: [
        {
          output: job.output,
          written_rows: 10,
          result: { location: 'predictions.submitted', rows: 10, bytes: expect.any(Number) },
        },
      ],
    })
    expect([job.submitted_at, job.started_at, job.finished_at]).toEqual(
      [job.submitted_at, job.started_at, job.finished_at].sort(),
    )
  })

  test('works with nothing optional given', async () => {
    const job = await run(service, {
      model_id: 'churn',
      input: { source: 'sql', query: `${CUSTOMERS} WHERE customer_id <= 5` },
      output: { destination: 'table', table_name: 'bare' },
    })
    expect(job.progress.written_rows).toBe(5)
    expect(await service.query('SELECT count(*)::int AS rows FROM public.bare')).toEqual([{ rows: 5 }])
  })

  test('a query that takes long to count is accepted with the planner’s estimate, and says so', async () => {
    const slow = CUSTOMERS.replace('FROM customers', 'FROM pg_sleep(2.3), customers')
    const { status, body } = await service.request(JOBS, { body: smallJob('estimated', slow) })
    expect([status, body.input_row_count_estimated]).toEqual([202, true])
    expect(body.input_row_count).toBeGreaterThan(ROWS / 2)
    expect(body.input_row_count).toBeLessThan(ROWS * 2)
    // Once everything is read the total is exact.
    expect((await completed(service, body.job_id)).progress).toMatchObject({ total_rows: ROWS, written_rows: ROWS })
  })
})

describe('Idempotency-Key', () => {
  const keyed = (key: string, body: JsonObject) => service.request(JOBS, { body, headers: { 'idempotency-key': key } })

  test('the same key and body give the same job, also when it is done; its fields may come in another order', async () => {
    const job = smallJob('keyed')
    const first = await keyed('key-1', job)
    await completed(service, first.body.job_id)
    const reversed = Object.fromEntries(Object.entries(job).reverse())
    for (const body of [job, reversed]) {
      const again = await keyed('key-1', body)
      expect([again.status, again.body.job_id]).toEqual([202, first.body.job_id])
      expect(again.headers.get('location')).toBe(first.headers.get('location'))
    }
    expect(await jobsInto(service, 'keyed')).toHaveLength(1)
    // Without a key, or with another, the same body is another job.
    const others = [await submit(service, job), (await keyed('key-2', job)).body.job_id]
    expect(new Set([first.body.job_id, ...others]).size).toBe(3)
    for (const jobId of others) await completed(service, jobId)
  })

  test('the same key with another body is a conflict, whatever is wrong with that body', async () => {
    const jobId = (await keyed('key-3', smallJob('conflict'))).body.job_id
    for (const body of [smallJob('conflict_2'), { ...smallJob('conflict'), note: '' }, {}]) {
      const answer = await keyed('key-3', body)
      expect(answer.status).toBe(409)
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      expect(answer.body).toMatchObject({ code: 'idempotency_conflict', detail: expect.stringContaining(jobId) })
    }
    expect(await jobsInto(service, 'conflict_2')).toEqual([])
    await completed(service, jobId)
  })

  test('a key of a refused submission is free again', async () => {
    const refused = await keyed('key-4', { ...smallJob('second_try'), model_id: 'churm' })
    expect(refused.status).toBe(400)
    const accepted = await keyed('key-4', smallJob('second_try'))
    expect(accepted.status).toBe(202)
    await completed(service, accepted.body.job_id)
  })

  test('submissions at the same moment with one key make one job', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => keyed('key-5', smallJob('at_once'))))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202))
    const ids = new Set(answers.map(({ body }) => body.job_id))
    expect(ids.size).toBe(1)
    await completed(service, [...ids][0] as string)
    expect(await jobsInto(service, 'at_once')).toHaveLength(1)
  })

  test('of two bodies at the same moment with one key, the one that comes second is refused', async () => {
    // Planned while the other is accepted, run and finished: its table is locked until then.
    await service.query('CREATE TABLE locked AS SELECT * FROM customers WHERE customer_id <= 10')
    const other = await service.connect()
    await other.query('BEGIN; LOCK TABLE locked')
    const second = keyed('key-6', smallJob('slower', CUSTOMERS.replace('customers', 'locked')))
    await until(
      async () =>
        (await service.query(`SELECT FROM pg_locks WHERE relation = 'locked'::regclass AND NOT granted`)).length,
      {
        what: 'the second to be planned',
      },
    )
    const first = await keyed('key-6', smallJob('faster'))
    expect(first.status).toBe(202)
    await completed(service, first.body.job_id)
    await other.end()
    const { status, body } = await second
    expect([status, body.code]).toEqual([409, 'idempotency_conflict'])
    expect(await jobsInto(service, 'slower')).toEqual([])
  })
})

describe('following a job', () => {
  const ORDER: readonly string[] = ['submitted', 'preparing', 'running', 'completing', 'completed']

  test('events: states in order, progress that never goes back, the final state last, then the stream ends', async () => {
    const job = churnJob({
      // Slow enough that there is some progress to be told.
      query: unhurried(ROWS),
      output: { destination: 'table', table_name: 'predictions.followed' },
      config: { batch_size: 100, parallelism: 1 },
    })
    const jobId = await submit(service, job)
    const events: ServerEvent[] = []
    for await (const event of eventsOf(service, jobId)) {
      events.push(event)
      // What the event says is so when it comes.
      if (event.data.progress.percentage === 100) expect(await rowsIn('followed')).toBe(ROWS)
    }
    const ids = events.map(({ id }) => id)
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
    expect(new Set(events.map(({ data }) => data.job_id))).toEqual(new Set([jobId]))
    expect(events[0]?.event).toBe('status')
    expect(events.at(-1)).toMatchObject({
      event: 'status',
      data: { status: 'completed', progress: { percentage: 100 } },
    })

    const states = events.filter(({ event }) => event === 'status').map(({ data }) => ORDER.indexOf(data.status))
    expect(states).toEqual([...new Set(states)].sort((a, b) => a - b))
    expect(states).toContain(ORDER.indexOf('running'))
    expect(states).toContain(ORDER.indexOf('completing'))
    const progress = events.filter(({ event }) => event === 'progress')
    expect(progress.length).toBeGreaterThan(1)
    for (const field of ['percentage', 'read_rows', 'processed_rows', 'written_rows']) {
      const values = events.map(({ data }) => data.progress[field] as number)
      expect(values, field).toEqual([...values].sort((a, b) => a - b))
    }
    for (const { data } of events) expect(data.progress.percentage === 100).toBe(data.status === 'completed')
    expect(progress.some(({ data }) => data.progress.percentage > 0 && data.progress.rows_per_second > 0)).toBe(true)
    expect(progress.some(({ data }) => data.estimated_completion !== null)).toBe(true)
  })

  test('events of a finished job: its state, and the end', async () => {
    const done = await run(service, smallJob('done'))
    expect(await collect(eventsOf(service, done.job_id))).toMatchObject([
      { event: 'status', data: { status: 'completed' } },
    ])
  })

  test('a client that comes back, also to another API process, gets what it missed and nothing twice', async () => {
    const other = await service.start('api')
    const elsewhere = { ...service, url: other.url as string }
    /** Each process reads jobs.v1 by itself: until this one knows of a job's end. */
    const completedAt = ({ url }: { url: string }, jobId: string) =>
      until(
        async () =>
          ((await (await fetch(new URL(`${JOBS}/${jobId}`, url))).json()) as JsonObject).status === 'completed',
      )
    const jobId = await submit(service, churnJob({ output: { destination: 'table', table_name: 'resumed' } }))
    let first: ServerEvent | undefined
    for await (const event of eventsOf(service, jobId)) {
      first = event
      break
    }
    const rest = await collect(eventsOf(elsewhere, jobId, first?.id))
    // Progress comes under the id of the snapshot before it; a state that was told is not told again.
    expect(rest.every(({ id, event }) => id > (first?.id ?? 0) || (event === 'progress' && id === first?.id))).toBe(
      true,
    )
    expect(rest.at(-1)).toMatchObject({ event: 'status', data: { status: 'completed' } })
    // It ended while the client was away: the end is told once, to whomever it is asked; then the client is told to stop.
    const end = await collect(eventsOf(elsewhere, jobId, first?.id))
    expect(end).toMatchObject([{ id: rest.at(-1)?.id, event: 'status', data: { status: 'completed' } }])
    for (const { url } of [service, elsewhere]) {
      await completedAt({ url }, jobId)
      const headers = { 'last-event-id': String(rest.at(-1)?.id) }
      expect((await fetch(new URL(`${JOBS}/${jobId}/events`, url), { headers })).status).toBe(204)
    }
    // What is no id counts as none.
    const headers = { 'last-event-id': 'yesterday' }
    expect((await fetch(new URL(`${JOBS}/${jobId}/events`, service.url), { headers })).status).toBe(200)

    // One key at both at the same moment makes one job.
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        fetch(new URL(JOBS, [service, elsewhere][i % 2]?.url), {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'two-apis' },
          body: JSON.stringify(smallJob('two_apis')),
        }).then(async (answer) => [answer.status, ((await answer.json()) as JsonObject).job_id]),
      ),
    )
    expect(new Set(answers.map(String)).size, String(answers)).toBe(1)
    expect(answers[0]?.[0]).toBe(202)
    await completed(service, answers[0]?.[1])

    // All jobs on one connection, and what changed while there was none.
    const all = eventsAt(service, '/api/v1/inference/events')
    const open = (await all.next()).value as ServerEvent
    expect(open).toMatchObject({ event: 'open', data: { jobs: expect.any(Number) } })
    const seen: ServerEvent[] = []
    const small = await submit(service, smallJob('seen'))
    for await (const event of all) {
      seen.push(event)
      if (event.data.status === 'completed') break
    }
    expect(new Set(seen.map(({ event, data }) => `${event} ${data.job_id}`))).toEqual(new Set([`job ${small}`]))
    const missed = [await run(service, smallJob('missed_1')), await run(service, smallJob('missed_2'))]
    for (const { job_id } of missed) await completedAt(elsewhere, job_id)
    const caughtUp: ServerEvent[] = []
    for await (const event of eventsAt(elsewhere, '/api/v1/inference/events', seen.at(-1)?.id)) {
      caughtUp.push(event)
      if (caughtUp.length === 2) break
    }
    expect(caughtUp.map(({ data }) => [data.job_id, data.status])).toEqual(
      missed.map(({ job_id }) => [job_id, 'completed']),
    )
    await other.kill('SIGTERM')
  })

  test('events of a job that fails end with its error', async () => {
    const query = CUSTOMERS.replace('tenure', '1 / (customer_id - 4) AS tenure')
    const events = await collect(eventsOf(service, await submit(service, smallJob('fails', query))))
    expect(events.at(-1)).toMatchObject({
      event: 'status',
      data: { status: 'failed', error: { code: 'query_failed', message: expect.stringContaining('division by zero') } },
    })
    for (const { data } of events) expect(data.progress.percentage).toBeLessThan(100)
  })

  test('a client that goes away changes nothing', async () => {
    const jobId = await submit(service, churnJob({ output: { destination: 'table', table_name: 'left_alone' } }))
    for await (const _event of eventsOf(service, jobId)) break
    await completed(service, jobId)
  })

  test.each(['table', 'parquet', 'csv'] as const)(
    '100 percent only when the output is readable: %s',
    async (destination) => {
      const name = `readable_${destination}`
      const output =
        destination === 'table' ? { destination, table_name: `predictions.${name}` } : { destination, path: `${name}/` }
      const query = `${CUSTOMERS} WHERE customer_id <= 30000`
      const jobId = await submit(service, churnJob({ query, output }))
      const seen = await whenJob(service, jobId, 'at 100 percent', ({ progress }) => progress.percentage === 100)
      // No waiting in between: the first answer that says 100 must be true.
      if (destination === 'table') expect(await rowsIn(name)).toBe(30_000)
      else expect(existsSync(join(service.outputDir, name, '_SUCCESS'))).toBe(true)
      expect(seen.status).toBe('completed')
    },
  )
})

describe('estimates', () => {
  const into = (name: string, rows: number) => ({
    ...churnJob({ query: `${CUSTOMERS} WHERE customer_id <= ${rows}`, model_id: 'estimated' }),
    output: { destination: 'table', table_name: `predictions.${name}` },
  })
  /** Milliseconds as they were estimated, and as they were. */
  const timed = async (name: string, rows: number) => {
    const { body } = await service.request(JOBS, { body: into(name, rows) })
    const job = await completed(service, body.job_id)
    return [body.estimated_duration_minutes * 60_000, Date.parse(job.finished_at) - Date.parse(job.started_at)] as const
  }

  test('the second run takes what it was estimated to, within a factor of two, also after a small job', async () => {
    await registerModel(service, 'estimated', 'churn.onnx', CHURN_FEATURES)
    const [, firstSmall] = await timed('first_small', 1_000)
    const [, firstLarge] = await timed('first_large', ROWS)
    for (const [name, rows, first] of [
      ['second_small', 1_000, firstSmall],
      ['second_large', ROWS, firstLarge],
    ] as const) {
      const [estimated, second] = await timed(name, rows)
      // On a machine that has other things to do the same job may itself take twice as long the next time.
      const [least, most] = [Math.min(first, second), Math.max(first, second)]
      expect(estimated, `${name}: ${first} ms at first, then ${second} ms`).toBeGreaterThan(least / 2)
      expect(estimated, `${name}: ${first} ms at first, then ${second} ms`).toBeLessThan(most * 2)
    }
    // What nobody has run yet is no multiple of a small job's fixed part; `validate_only` says the same.
    const valid = await service.request(`${JOBS}?validate_only=true`, { body: into('third', ROWS) })
    expect(valid.body.estimated_duration_minutes * 60_000).toBeLessThan(2 * firstLarge)
  })

  test('a job that runs has an estimated end before its first rows are scored', async () => {
    const slow = CUSTOMERS.replace('FROM customers', 'FROM pg_sleep(1.5), customers')
    const jobId = await submit(service, smallJob('eta', slow))
    const job = await whenJob(service, jobId, 'estimated', ({ estimated_completion }) => estimated_completion !== null)
    expect(job.progress.processed_rows).toBe(0)
    expect(Date.parse(job.estimated_completion)).toBeGreaterThan(Date.parse(job.started_at))
    await completed(service, jobId)
  })
})

describe('what there is to read', () => {
  test('/livez and /readyz', async () => {
    expect(await service.request('/livez')).toMatchObject({ status: 200, body: { status: 'ok' } })
    const { status, body } = await service.request('/readyz')
    expect(body).toEqual({
      status: 'ready',
      kafka: { brokers: kafkaBrokers(), status: 'up' },
      databases: { warehouse: 'up' },
      roles: Object.fromEntries(ROLES.map((role) => [role, 1])),
    })
    expect(status).toBe(200)
  })

  test('/metrics for Prometheus', async () => {
    const before = await figures()
    await run(service, smallJob('measured'))
    const after = await figures()
    const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
    expect(grown('scoreline_jobs{status="completed"}')).toBe(1)
    for (const stage of ['read', 'scored', 'written']) expect(grown(`scoreline_rows_total{stage="${stage}"}`)).toBe(10)
    expect(grown('scoreline_rows_total{stage="failed"}')).toBe(0)
    for (const role of ROLES)
      expect(after.get(`scoreline_workers{role="${role}",pool="${role === 'scorer' ? 'cpu' : ''}"}`)).toBe(1)
    const submissions = `scoreline_http_request_duration_seconds_count{method="POST",route="${JOBS}",status="202"}`
    expect(grown(submissions)).toBe(1)
    expect(after.get('process_resident_memory_bytes')).toBeGreaterThan(1e7)
    for (const [group, topic] of [
      ['controller', 'commands.v1'],
      ['reader', 'reads.v1'],
      ['scorer.cpu', 'chunks.cpu.v1'],
      ['sink.table', 'scored.table.v1'],
    ])
      expect(after.get(`scoreline_consumer_lag{group="${group}",topic="${topic}"}`)).toBeGreaterThanOrEqual(0)
  })

  test('/ and /docs are pages, /docs/json describes every route', async () => {
    for (const path of ['/', '/docs']) {
      const page = await service.request(path)
      expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')])
    }

    const { status, body } = await service.request('/docs/json')
    expect(status).toBe(200)
    expect(body.openapi).toMatch(/^3\./)
    const routes = Object.entries<JsonObject>(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    expect(routes.sort()).toEqual(
      [
        `post ${JOBS}`,
        `get ${JOBS}`,
        `get ${JOBS}/{job_id}`,
        `post ${JOBS}/{job_id}/cancel`,
        `get ${JOBS}/{job_id}/events`,
        `get ${JOBS}/{job_id}/results`,
        `get ${JOBS}/{job_id}/results/{output}/{name}`,
        `get /api/v1/inference/events`,
        `get ${JOBS}/{job_id}/errors`,
        `post ${JOBS}/{job_id}/errors/redrive`,
        'put /api/v1/models/{model_id}',
        'get /api/v1/models',
        'get /api/v1/models/{model_id}',
        'get /api/v1/inference/schedules',
        'get /api/v1/inference/schedules/{schedule_id}',
        'patch /api/v1/inference/schedules/{schedule_id}',
        'delete /api/v1/inference/schedules/{schedule_id}',
        'get /api/v1/inference/batch/{job_id}/flow',
        'get /api/v1/inference/batch/{job_id}/first-rows',
        'get /api/v1/inference/batch/{job_id}/request',
        'get /api/v1/workers',
        'get /api/v1/kafka/topics',
        'get /livez',
        'get /readyz',
        'get /metrics',
      ].sort(),
    )
    for (const [path, methods] of Object.entries<JsonObject>(body.paths))
      for (const [method, route] of Object.entries<JsonObject>(methods))
        expect(route.summary, `${method} ${path}`).toMatch(/\w/)
    const schema = body.paths[JOBS].post.requestBody.content['application/json'].schema
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(['model_id', 'input', 'output', 'config']))
    expect(body.paths[JOBS].post.responses).toHaveProperty('202')
  })

  test('models: newest version of each, and all versions of one, newest first', async () => {
    const longest = `m${'.'.repeat(127)}`
    await registerModel(service, longest, 'per-column.onnx')
    await registerModel(service, 'linear', 'linear.onnx', 'a,b,c')
    const second = await registerModel(service, 'linear', 'linear.onnx', 'c,b,a')
    const { body } = await service.request('/api/v1/models')
    expect(body.data.map(({ model_id, version }: JsonObject) => [model_id, version])).toEqual([
      ['churn', 1],
      ['estimated', 1],
      ['linear', 2],
      [longest, 1],
    ])
    const shown = (await service.request('/api/v1/models/linear')).body
    expect(shown).toEqual({ model_id: 'linear', versions: [second, { ...second, ...shown.versions[1] }] })
    expect(shown.versions[1]).toMatchObject({ version: 1, features: ['a', 'b', 'c'] })
    expect(second).toEqual({
      model_id: 'linear',
      version: 2,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      bytes: (await modelBytes('linear.onnx')).length,
      inputs: [{ name: 'features', type: 'float32', shape: [-1, 3] }],
      outputs: [
        { name: 'label', type: 'int64', shape: [-1] },
        { name: 'probabilities', type: 'float32', shape: [-1, 2] },
      ],
      features: ['c', 'b', 'a'],
      registered_at: expect.stringMatching(/Z$/),
    })
    expect((await service.request(`/api/v1/models/${longest}`)).status).toBe(200)
  })
})

/** What /metrics says now, by name and labels. */
async function figures(): Promise<Map<string, number>> {
  const { status, headers, body } = await service.request('/metrics')
  expect([status, headers.get('content-type')]).toEqual([200, expect.stringContaining('text/plain; version=0.0.4')])
  const lines = (body as unknown as string).split('\n').filter((line) => line && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

interface ServerEvent {
  readonly id: number
  readonly event: string
  readonly data: JsonObject
}

/** A job's server-sent events, until the stream ends. */
function eventsOf(from: { url: string }, jobId: string, lastId?: number): AsyncGenerator<ServerEvent> {
  return eventsAt(from, `${JOBS}/${jobId}/events`, lastId)
}

async function* eventsAt({ url }: { url: string }, path: string, lastId?: number): AsyncGenerator<ServerEvent> {
  const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': String(lastId) }
  const response = await fetch(new URL(path, url), { headers })
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  let text = ''
  for await (const part of (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
    text += part
    const blocks = text.split('\n\n')
    text = blocks.pop() as string
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]))
      if (fields.has('event'))
        yield {
          id: Number(fields.get('id')),
          event: fields.get('event') as string,
          data: JSON.parse(fields.get('data') as string),
        }
    }
  }
  expect(text, 'an event that was cut off').toBe('')
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
