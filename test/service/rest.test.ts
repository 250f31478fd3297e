// The API as a client sees it: submitting once, listing, following, tenants, documentation; and the same commands as raw
// records on Kafka.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Partitioners } from 'kafkajs'
import { beforeAll, describe, expect, test } from 'vitest'
import { commandsTopic } from '../../topics/commands.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { JOB_STATUSES } from '../../topics/jobs.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'
import { ROLES } from '../../topics/workers.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  failed,
  modelBytes,
  recordsOf,
  registerModel,
  run,
  seedCustomers,
  statusOf,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { kafkaBrokers } from '../harness/servers.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const JOBS = '/api/v1/inference/batch'
const ROWS = 120_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'rest' })
  await seedCustomers(service, ROWS)
  await service.query('ANALYZE customers')
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

/** A job of ten rows into a table of its own. */
function smallJob(name: string, query = `${CUSTOMERS} WHERE customer_id <= 10`): JsonObject {
  return churnJob({ query, output: { destination: 'table', table_name: `predictions.${name}` } })
}

async function jobs(of: Service = service, search = '', headers: Record<string, string> = {}): Promise<JsonObject[]> {
  const { status, body } = await of.request(`${JOBS}?limit=1000${search}`, { headers })
  expect(status, JSON.stringify(body)).toBe(200)
  return body.data
}

async function jobsInto(name: string): Promise<JsonObject[]> {
  return (await jobs()).filter(({ output }) => output.table_name === `predictions.${name}`)
}

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
    expect(await jobsInto('keyed')).toHaveLength(1)
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
    expect(await jobsInto('conflict_2')).toEqual([])
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
    expect(await jobsInto('at_once')).toHaveLength(1)
  })

  test('of two bodies at the same moment with one key, the one that comes second is refused', async () => {
    // Planned while the other is accepted, run and finished: counting its rows takes longer than all of that.
    const slow = smallJob('slower', CUSTOMERS.replace('FROM customers', 'FROM pg_sleep(1.5), customers'))
    const second = keyed('key-6', slow)
    const first = await keyed('key-6', smallJob('faster'))
    expect(first.status).toBe(202)
    await completed(service, first.body.job_id)
    const { status, body } = await second
    expect([status, body.code]).toEqual([409, 'idempotency_conflict'])
    expect(await jobsInto('slower')).toEqual([])
  })
})

describe('following a job', () => {
  const ORDER: readonly string[] = ['submitted', 'preparing', 'running', 'completing', 'completed']

  test('events: states in order, progress that never goes back, the final state last, then the stream ends', async () => {
    const job = churnJob({
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
    expect(events.map(({ id }) => id)).toEqual(events.map((_, i) => i + 1))
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
      { id: 1, event: 'status', data: { status: 'completed' } },
    ])
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

  test('/docs is a page, / leads to it, /docs/json describes every route', async () => {
    const page = await service.request('/docs')
    expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')])
    expect((await fetch(service.url, { redirect: 'manual' })).headers.get('location')).toBe('/docs')

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
        `get ${JOBS}/{job_id}/errors`,
        `post ${JOBS}/{job_id}/errors/redrive`,
        'put /api/v1/models/{model_id}',
        'get /api/v1/models',
        'get /api/v1/models/{model_id}',
        'get /api/v1/inference/schedules',
        'get /api/v1/inference/schedules/{schedule_id}',
        'patch /api/v1/inference/schedules/{schedule_id}',
        'delete /api/v1/inference/schedules/{schedule_id}',
        'get /livez',
        'get /readyz',
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

describe('with API keys', () => {
  const ACME = { authorization: 'Bearer key-of-acme' }
  const GLOBEX = { authorization: 'bearer key-of-globex' }
  /** Nobody reads here: three jobs of each tenant are running for ever, further ones wait. */
  let guarded: Service

  beforeAll(async () => {
    guarded = await startService({
      name: 'rest-keys',
      settings: { API_KEYS: JSON.stringify({ 'key-of-acme': 'acme', 'key-of-globex': 'globex' }) },
      roles: { reader: 0, scorer: 0, sink: 0 },
    })
    await seedCustomers(guarded, 10)
    for (const headers of [ACME, GLOBEX]) {
      const { status } = await guarded.request(`/api/v1/models/churn?features=${CHURN_FEATURES}`, {
        method: 'PUT',
        body: await modelBytes('churn.onnx'),
        headers: { ...headers, 'content-type': 'application/octet-stream' },
      })
      expect(status).toBe(201)
    }
  })

  test('without a known key nothing is told: 401', async () => {
    const jobId = await submit(guarded, smallJob('mine'), GLOBEX)
    for (const headers of [
      {},
      { authorization: 'Bearer ' },
      { authorization: 'Bearer key-of-acm' },
      { authorization: 'Bearer key-of-acme ,' },
      { authorization: 'Basic key-of-acme' },
      { authorization: 'key-of-acme' },
    ] as Record<string, string>[]) {
      for (const [method, path] of [
        ['GET', JOBS],
        ['POST', JOBS],
        ['GET', `${JOBS}/${jobId}`],
        ['GET', `${JOBS}/nothing`],
        ['GET', `${JOBS}?limit=0`],
        ['POST', `${JOBS}/${jobId}/cancel`],
        ['GET', `${JOBS}/${jobId}/events`],
        ['GET', '/api/v1/models'],
        ['GET', '/api/v1/models/churn'],
        ['PUT', '/api/v1/models/churn'],
      ] as const) {
        const body = method === 'PUT' || (method === 'POST' && path === JOBS) ? { body: smallJob('mine') } : {}
        const answer = await guarded.request(path, { method, headers, ...body })
        expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 401, 'unauthorized'])
        expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      }
    }
    expect((await guarded.request(`${JOBS}/${jobId}`, { headers: GLOBEX })).status).toBe(200)
  })

  test('a 401 says how to authenticate (RFC 9110, 15.5.2)', async () => {
    expect((await guarded.request(JOBS)).headers.get('www-authenticate')).toMatch(/^Bearer/)
  })

  test('health and documentation need no key; /readyz says which roles are missing', async () => {
    expect((await guarded.request('/livez')).status).toBe(200)
    expect((await guarded.request('/docs/json')).status).toBe(200)
    expect(await guarded.request('/readyz')).toMatchObject({
      status: 503,
      body: { status: 'not_ready', kafka: { status: 'up' }, roles: { api: 1, controller: 1, reader: 0, sink: 0 } },
    })
  })

  test('another tenant’s job is not there: not shown, not listed, not cancelled', async () => {
    const jobId = await submit(guarded, smallJob('theirs'), ACME)
    for (const [method, path] of [
      ['GET', `${JOBS}/${jobId}`],
      ['GET', `${JOBS}/${jobId}/events`],
      ['POST', `${JOBS}/${jobId}/cancel`],
    ] as const)
      expect(await guarded.request(path, { method, headers: GLOBEX })).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      })
    expect((await jobs(guarded, '', GLOBEX)).map(({ job_id }) => job_id)).not.toContain(jobId)
    expect((await jobs(guarded, '', ACME)).map(({ job_id }) => job_id)).toContain(jobId)
    const { body } = await guarded.request(`${JOBS}/${jobId}`, { headers: ACME })
    expect(body.status).not.toBe('cancelled')
  })

  test('nor are another tenant’s models and keys of submissions', async () => {
    const { status } = await guarded.request('/api/v1/models/secret', {
      method: 'PUT',
      body: await modelBytes('per-column.onnx'),
      headers: { ...ACME, 'content-type': 'application/octet-stream' },
    })
    expect(status).toBe(201)
    expect((await guarded.request('/api/v1/models/secret', { headers: GLOBEX })).status).toBe(404)
    const models = (await guarded.request('/api/v1/models', { headers: GLOBEX })).body.data
    expect(models.map(({ model_id }: JsonObject) => model_id)).toEqual(['churn'])
    expect(
      (await guarded.request(JOBS, { body: { ...smallJob('x'), model_id: 'secret' }, headers: GLOBEX })).body.code,
    ).toBe('model_not_found')

    const key = { 'idempotency-key': 'shared' }
    const ids = [
      await submit(guarded, smallJob('shared_key'), { ...ACME, ...key }),
      await submit(guarded, smallJob('another_body'), { ...GLOBEX, ...key }),
    ]
    expect(new Set(ids).size).toBe(2)
  })

  describe('the list', () => {
    beforeAll(async () => {
      for (let i = 0; i < 8; i++) await submit(guarded, smallJob(`listed_${i}`), ACME)
      await submit(guarded, smallJob('listed'), GLOBEX)
      await until(async () => (await jobs(guarded, '&status=running', ACME)).length === 3)
    })

    test('newest first, by pages that stay as they are while new jobs come', async () => {
      const all = await jobs(guarded, '', ACME)
      const order = all.map(({ submitted_at, job_id }) => `${submitted_at} ${job_id}`)
      expect(order).toEqual([...order].sort().reverse())

      const pages: JsonObject[][] = []
      let next = ''
      do {
        const { body } = await guarded.request(`${JOBS}?limit=3${next && `&after=${next}`}`, { headers: ACME })
        expect(body.has_more).toBe(body.next !== null)
        pages.push(body.data)
        next = body.next ?? ''
        await submit(guarded, smallJob('meanwhile'), ACME)
      } while (next)
      expect(pages.length).toBe(Math.ceil(all.length / 3))
      expect(pages.slice(0, -1).every((page) => page.length === 3)).toBe(true)
      expect(pages.flat().map(({ job_id }) => job_id)).toEqual(all.map(({ job_id }) => job_id))
    })

    test('by status', async () => {
      const waiting = (await jobs(guarded, '&status=submitted', ACME)).at(-1)
      await guarded.request(`${JOBS}/${waiting?.job_id}/cancel`, { method: 'POST', headers: ACME })
      const all = await jobs(guarded, '', ACME)
      for (const status of JOB_STATUSES) {
        expect(await jobs(guarded, `&status=${status}`, ACME)).toEqual(all.filter((job) => job.status === status))
      }
      expect(all.filter(({ status }) => status === 'running')).toHaveLength(3)
      expect(all.filter(({ status }) => status === 'cancelled').map(({ job_id }) => job_id)).toEqual([waiting?.job_id])
    })

    test('a last page that is exactly full has no next one', async () => {
      const all = await jobs(guarded, '', GLOBEX)
      const { body } = await guarded.request(`${JOBS}?limit=${all.length}`, { headers: GLOBEX })
      expect(body).toMatchObject({ has_more: false, next: null, data: { length: all.length } })
    })
  })
})

describe('commands on Kafka', () => {
  /** As any client would: the key is the tenant, the partition follows from it. Gives the offset of the first record. */
  async function produce(...records: { value: unknown; key?: string; partition?: number }[]): Promise<bigint> {
    const producer = service.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    const [first] = await producer.send({
      topic: `${service.prefix}${commandsTopic.name}`,
      messages: records.map(({ value, key = 'default', partition }) => ({
        key,
        value: value === null || Buffer.isBuffer(value) || typeof value === 'string' ? value : JSON.stringify(value),
        ...(partition === undefined ? {} : { partition }),
      })),
    })
    await producer.disconnect()
    return BigInt(first?.baseOffset ?? 0)
  }

  const submission = (job: unknown, more: JsonObject = {}): JsonObject => ({
    type: 'submit',
    tenant_id: 'default',
    job,
    ...more,
  })

  /** The only job into this table, once it is there. */
  async function jobInto(name: string): Promise<string> {
    const [job] = await until(async () => {
      const found = await jobsInto(name)
      return found.length ? found : undefined
    })
    return job?.job_id as string
  }

  /** Waits until a command sent now is done: then all before it are taken up. */
  async function settled(name: string): Promise<void> {
    await produce({ value: submission(smallJob(name)) })
    await completed(service, await jobInto(name))
  }

  async function deadCommands(): Promise<JsonObject[]> {
    return (await recordsOf(service, deadLettersTopic.name)).filter(({ kind }) => kind === 'command')
  }

  test('a submission runs as over REST, and over REST the same key finds it', async () => {
    const job = smallJob('by_record')
    await produce({ value: submission(job, { idempotency_key: 'record-1' }) })
    const jobId = await jobInto('by_record')
    expect(await completed(service, jobId)).toMatchObject({ model_version: 1, progress: { written_rows: 10 } })
    expect(await rowsIn('by_record')).toBe(10)
    expect(await submit(service, job, { 'idempotency-key': 'record-1' })).toBe(jobId)
  })

  test('on a partition that is not the tenant’s, it runs all the same, once', async () => {
    // Every partition but one is wrong.
    await produce(
      ...Array.from({ length: CONTROL_PARTITIONS }, (_, partition) => ({
        partition,
        value: submission(smallJob(`on_partition_${partition}`)),
      })),
    )
    for (let partition = 0; partition < CONTROL_PARTITIONS; partition++)
      await completed(service, await jobInto(`on_partition_${partition}`))
    for (let partition = 0; partition < CONTROL_PARTITIONS; partition++)
      expect(await jobsInto(`on_partition_${partition}`)).toHaveLength(1)
  })

  test('a replayed record makes no second job; the same key with another body is a dead letter', async () => {
    const record = { value: submission(smallJob('replayed'), { idempotency_key: 'record-2' }) }
    await produce(record, record)
    await completed(service, await jobInto('replayed'))
    await produce(record, { ...record, partition: 3 }, { ...record, partition: 4 })
    await produce({ value: submission(smallJob('replayed_2'), { idempotency_key: 'record-2' }) })
    await settled('after_replay')
    expect(await jobsInto('replayed')).toHaveLength(1)
    expect(await jobsInto('replayed_2')).toEqual([])
    expect(await deadCommands()).toContainEqual(
      expect.objectContaining({ tenant_id: 'default', reason: expect.stringContaining('another idempotency_key') }),
    )
  })

  test('records that change nothing, one right after the other, do not stop the controller', async () => {
    // Each is a transaction of an offset alone, begun while the markers of the one before are still being written.
    const value = JSON.stringify(submission(smallJob('again'), { idempotency_key: 'record-3' }))
    const producer = service.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    for (let i = 0; i < 100; i++)
      await producer.send({ topic: `${service.prefix}${commandsTopic.name}`, messages: [{ key: 'default', value }] })
    await producer.disconnect()
    await settled('after_again')
    expect(await jobsInto('again')).toHaveLength(1)
    expect((await service.request('/readyz')).body.roles.controller).toBe(1)
  })

  test('a refused submission becomes a failed job with its reasons', async () => {
    const wrong = { ...smallJob('refused'), model_id: 'refused-1', config: { batch_size: 0, parallelism: 99 }, note: 1 }
    await produce(
      { value: submission(wrong) },
      { value: submission({ ...smallJob('refused'), model_id: 'refused-2' }) },
      { value: submission({ ...smallJob('refused', 'SELECT * FROM nowhere'), model_id: 'churn@1' }) },
      { value: submission(smallJob('refused', 'DROP TABLE customers')) },
      { value: submission({}) },
    )
    const refused = await until(async () => {
      const found = (await jobs()).filter(({ error }) => error !== null && /^\//.test(error.message))
      return found.length === 5 ? found : undefined
    })
    const errors = await Promise.all(refused.map(async ({ job_id }) => (await failed(service, job_id)).error))
    expect(errors).toEqual(
      expect.arrayContaining([
        {
          code: 'invalid_request',
          message: expect.stringMatching(
            /^(?=.*\/note: )(?=.*\/config\/batch_size: .*0)(?=.*\/config\/parallelism: .*99)/,
          ),
        },
        { code: 'model_not_found', message: expect.stringMatching(/^\/model_id: model refused-2/) },
        { code: 'table_not_found', message: expect.stringMatching(/^\/input\/query: .*nowhere/) },
        { code: 'sql_not_select', message: expect.stringMatching(/^\/input\/query: .*DROP/) },
        { code: 'invalid_request', message: expect.stringMatching(/\/model_id: model_id is missing/) },
      ]),
    )
  })

  test('a cancel stops a job; one of a job that is not there, or not the tenant’s, is a dead letter', async () => {
    const endless = CUSTOMERS.replace('FROM customers', 'FROM pg_sleep(60), customers LIMIT 10')
    const jobId = await submit(service, smallJob('cancelled', endless))
    await whenJob(service, jobId, 'running', ({ status }) => status === 'running')
    await produce(
      { value: { type: 'cancel', tenant_id: 'somebody', job_id: jobId }, key: 'somebody' },
      { value: { type: 'cancel', tenant_id: 'default', job_id: 'batch-unknown' } },
    )
    await settled('after_wrong_cancel')
    expect((await statusOf(service, jobId)).status).toBe('running')
    await produce({ value: { type: 'cancel', tenant_id: 'default', job_id: jobId } })
    await whenJob(service, jobId, 'cancelled', ({ status }) => status === 'cancelled')
    const letters = await until(async () => {
      const found = (await deadCommands()).filter(({ content }) => /"cancel"/.test(content))
      return found.length === 2 ? found : undefined
    })
    expect(letters.map(({ reason }) => reason).sort()).toEqual([
      'tenant default has no job batch-unknown',
      `tenant somebody has no job ${jobId}`,
    ])
  })

  test('garbage goes to the dead letters with its origin, and later commands still work', async () => {
    const garbage = [
      'not JSON',
      '',
      '{"type": "submit"',
      'null',
      '7',
      '[]',
      '{}',
      submission(smallJob('never'), { tenant_id: '' }),
      submission(smallJob('never'), { tenant_id: 7 }),
      submission(smallJob('never'), { type: 'launch' }),
      submission(null),
      submission('SELECT 1'),
      submission(smallJob('never'), { idempotency_key: 5 }),
      { type: 'cancel', tenant_id: 'default' },
      Buffer.from([0xff, 0xfe, 0x00, 0x80]),
    ]
    const from = await produce(...garbage.map((value) => ({ value, partition: 5 })), { value: null, partition: 5 })
    await produce({ value: submission(smallJob('after_garbage')), partition: 5 })
    await completed(service, await jobInto('after_garbage'))
    const letters = (await deadCommands()).filter(
      ({ origin }) => origin.partition === 5 && BigInt(origin.offset) >= from,
    )
    expect(letters).toHaveLength(garbage.length + 1)
    for (const letter of letters) {
      expect(letter.reason).toMatch(/expected/)
      expect(letter.origin).toEqual({
        topic: `${service.prefix}${commandsTopic.name}`,
        partition: 5,
        offset: expect.stringMatching(/^\d+$/),
      })
    }
    expect(letters.map(({ content }) => content)).toEqual(expect.arrayContaining(['not JSON', '{}', null]))
    expect(await jobsInto('never')).toEqual([])
  })

  // Last: a controller that does not survive these does not survive its restart either.
  test.each([
    ['a job_id that is no text', { job_id: 42 }],
    ['a job_id that is a path', { job_id: '../../elsewhere' }],
    ['a plan that is empty', { plan: {} }],
    ['a plan of wrong types', { plan: { total_rows: 'many', model_version: '1', output_columns: 7 } }],
  ])('what only the API may set, from somebody else, harms nobody: %s', async (_what, more) => {
    const name = `harm_${Object.keys(more)[0]}_${JSON.stringify(more).length}`
    await produce({ value: submission(smallJob(name), more) })
    await settled(`after_${name}`)
    expect(service.processes('controller')).toHaveLength(1)
    expect((await service.request('/readyz')).status).toBe(200)
    // Refused, or run as if it had not been said.
    for (const { job_id } of await jobsInto(name)) {
      expect(job_id).toMatch(/^batch-[0-9a-f]{20}$/)
      await whenJob(service, job_id, 'finished', ({ finished_at }) => finished_at !== null)
    }
  })
})

interface ServerEvent {
  readonly id: number
  readonly event: string
  readonly data: JsonObject
}

/** A job's server-sent events, until the stream ends. */
async function* eventsOf({ url }: Service, jobId: string): AsyncGenerator<ServerEvent> {
  const response = await fetch(new URL(`${JOBS}/${jobId}/events`, url))
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
