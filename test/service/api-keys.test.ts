// The API with keys: each names a tenant, and nothing of another tenant can be seen; what a tenant sees in its list of jobs.
import { beforeAll, describe, expect, test } from 'vitest'
import { JOB_STATUSES } from '../../topics/jobs.ts'
import { CHURN_FEATURES, JOBS, listJobs, modelBytes, seedCustomers, smallJob, submit } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

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
  expect((await listJobs(guarded, '', GLOBEX)).map(({ job_id }) => job_id)).not.toContain(jobId)
  expect((await listJobs(guarded, '', ACME)).map(({ job_id }) => job_id)).toContain(jobId)
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
    await until(async () => (await listJobs(guarded, '&status=running', ACME)).length === 3)
  })

  test('newest first, by pages that stay as they are while new jobs come', async () => {
    const all = await listJobs(guarded, '', ACME)
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
    const waiting = (await listJobs(guarded, '&status=submitted', ACME)).at(-1)
    await guarded.request(`${JOBS}/${waiting?.job_id}/cancel`, { method: 'POST', headers: ACME })
    const all = await listJobs(guarded, '', ACME)
    for (const status of JOB_STATUSES) {
      expect(await listJobs(guarded, `&status=${status}`, ACME)).toEqual(all.filter((job) => job.status === status))
    }
    expect(all.filter(({ status }) => status === 'running')).toHaveLength(3)
    expect(all.filter(({ status }) => status === 'cancelled').map(({ job_id }) => job_id)).toEqual([waiting?.job_id])
  })

  test('a last page that is exactly full has no next one', async () => {
    const all = await listJobs(guarded, '', GLOBEX)
    const { body } = await guarded.request(`${JOBS}?limit=${all.length}`, { headers: GLOBEX })
    expect(body).toMatchObject({ has_more: false, next: null, data: { length: all.length } })
  })
})
