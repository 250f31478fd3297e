// The API with keys: each names a tenant, and nothing of another tenant can be seen; what a tenant sees in its list of jobs.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newApiKey } from '../../src/api/access/api-key.ts'
import { JOB_STATUSES } from '../../topics/jobs.ts'
import { CHURN_FEATURES, JOBS, listJobs, modelBytes, seedCustomers, smallJob, submit } from '../harness/jobs.ts'
import { keySetting } from '../harness/keys.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ACME = { authorization: 'Bearer key-of-acme' }
const GLOBEX = { authorization: 'bearer key-of-globex' }
const FILE = join(mkdtempSync(join(tmpdir(), 'scoreline-keys-')), 'keys.json')
/** Nobody reads here: three jobs of each tenant are running for ever, further ones wait. */
let guarded: Service

beforeAll(async () => {
  writeFileSync(
    FILE,
    keySetting({
      'acme-read': { tenant: 'acme', scopes: ['read'] },
      'acme-submit': { tenant: 'acme', scopes: ['submit'] },
      'acme-expired': { tenant: 'acme', scopes: ['admin'], expires: '2026-01-01T00:00:00+01:00' },
    }),
  )
  guarded = await startService({
    name: 'rest-keys',
    settings: { API_KEYS: keySetting({ 'key-of-acme': 'acme', 'key-of-globex': 'globex' }), API_KEYS_FILE: FILE },
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

afterAll(() => rmSync(dirname(FILE), { recursive: true }))

interface Route {
  readonly method: string
  /** With names of parameters in braces. */
  readonly path: string
  readonly scope: string
}

/** Every route under /api/, as the documentation has it. */
async function everyRoute(): Promise<Route[]> {
  const { body } = await guarded.request('/docs/json')
  return Object.entries<JsonObject>(body.paths)
    .filter(([path]) => path.startsWith('/api/'))
    .flatMap(([path, methods]) =>
      Object.entries<JsonObject>(methods).map(([method, route]) => {
        expect(route.security, `${method} ${path}`).toEqual([{ key: [] }])
        return { method: method.toUpperCase(), path, scope: route['x-scope'] }
      }),
    )
}

/** Calls a route with these ids in its path, and a body where it wants one. */
function call({ method, path }: Route, ids: Record<string, string>, headers: Record<string, string>) {
  const url = path.replace(/\{(\w+)\}/g, (_, name) => ids[name] ?? 'nothing')
  const body = method === 'POST' && path === JOBS ? smallJob('mine') : {}
  const withBody = method === 'GET' || method === 'DELETE' || path.endsWith('/cancel') ? {} : { body }
  return guarded.request(url, { method, headers, ...withBody })
}

test('without a known key nothing is told, on any route: 401', async () => {
  const jobId = await submit(guarded, smallJob('mine'), GLOBEX)
  const routes = await everyRoute()
  expect(routes.length).toBeGreaterThan(12)
  const unknown = ['', 'Bearer ', 'Bearer key-of-acm', 'Bearer key-of-acme ,', 'Basic key-of-acme', 'key-of-acme']
  for (const authorization of unknown) {
    const headers: Record<string, string> = authorization ? { authorization } : {}
    const answers = await Promise.all(routes.map((route) => call(route, { job_id: jobId }, headers)))
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual(routes.map(() => [401, 'unauthorized']))
    for (const answer of answers) expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  }
  // Nor by writing a path otherwise, or one that is none.
  for (const path of [`/%61pi/v1/inference/batch/${jobId}`, '/api/v1/nothing', `${JOBS}?limit=0`])
    expect((await guarded.request(path)).status).toBe(401)
  expect((await guarded.request(`${JOBS}/${jobId}`, { headers: GLOBEX })).status).toBe(200)
})

test('every route has a scope, and a key without it is told which one is missing: 403', async () => {
  const routes = await everyRoute()
  for (const route of routes) {
    const expected = route.method === 'GET' ? 'read' : route.path.includes('/models') ? 'admin' : 'submit'
    expect([route, route.scope]).toEqual([route, expected])
  }
  for (const [key, scope] of [
    ['acme-read', 'read'],
    ['acme-submit', 'submit'],
  ] as const) {
    const headers = { authorization: `Bearer ${key}` }
    for (const route of routes.filter((other) => other.scope !== scope)) {
      const { status, body } = await call(route, {}, headers)
      expect([route, status, body.code]).toEqual([route, 403, 'forbidden'])
      expect(body.detail).toBe(`this needs an API key with scope ${route.scope}; yours has ${scope}`)
    }
  }
  expect((await guarded.request(JOBS, { headers: { authorization: 'Bearer acme-read' } })).status).toBe(200)
  await submit(guarded, smallJob('scoped'), { authorization: 'Bearer acme-submit' })
})

test('a key that has expired says so', async () => {
  const { status, body } = await guarded.request(JOBS, { headers: { authorization: 'Bearer acme-expired' } })
  expect([status, body.code]).toEqual([401, 'key_expired'])
  expect(body.detail).toContain('2025-12-31T23:00:00.000Z')
})

test('keys of the file come and go without a restart; a file that is damaged changes nothing', async () => {
  const { key, entry } = newApiKey({ tenant: 'acme', scopes: ['read'] })
  const statusWith = async (given: string) =>
    (await guarded.request(JOBS, { headers: { authorization: `Bearer ${given}` } })).status
  const before = readFileSync(FILE, 'utf8')
  expect(await statusWith(key)).toBe(401)
  writeFileSync(FILE, JSON.stringify([...JSON.parse(before), entry]))
  await until(async () => (await statusWith(key)) === 200)
  const headers = { authorization: `Bearer ${key}` }
  const events = await fetch(new URL('/api/v1/inference/events', guarded.url), { headers })
  expect(events.status).toBe(200)
  writeFileSync(FILE, '[{"tenant":"acme"')
  const [api] = guarded.processes('api')
  await until(async () => (await statusWith(key)) && api?.log.some((line) => line.includes('of before stay valid')))
  expect(await statusWith(key)).toBe(200)
  writeFileSync(FILE, before)
  await until(async () => (await statusWith(key)) === 401)
  // What it was being told all the time ends too.
  await events.text()
})

test('a live stream ends soon after its key, and says why', async () => {
  const fresh = (expires?: string) => newApiKey({ tenant: 'acme', scopes: ['read'], ...(expires ? { expires } : {}) })
  const [taken, expiring, kept] = [fresh(), fresh(new Date(Date.now() + 8_000).toISOString()), fresh()]
  const before = readFileSync(FILE, 'utf8')
  const entries = [taken, expiring, kept].map(({ entry }) => entry)
  writeFileSync(FILE, JSON.stringify([...JSON.parse(before), ...entries]))
  const open = async (key: string, path = '/api/v1/inference/events') => {
    const answer = await fetch(new URL(path, guarded.url), { headers: { authorization: `Bearer ${key}` } })
    if (answer.status !== 200) throw new Error(`${answer.status}`)
    return answer
  }
  const last = async (answer: Response) => (await answer.text()).trim().split('\n\n').at(-1)
  const jobId = await submit(guarded, smallJob('followed'), ACME)
  const ofTaken = await until(() => open(taken.key))
  const ofJob = await open(taken.key, `${JOBS}/${jobId}/events`)
  const ofExpiring = await open(expiring.key)
  const ofKept = await open(kept.key)
  const goesOn = ofKept.body?.getReader()
  writeFileSync(FILE, JSON.stringify([...JSON.parse(before), ...entries.slice(1)]))
  for (const answer of [ofTaken, ofJob]) {
    const event = await last(answer)
    expect(event).toMatch(/^id: -?\d+\nevent: unauthorized\ndata: \{"code":"unauthorized","detail":"expected a header/)
  }
  expect(await last(ofExpiring)).toContain('"code":"key_expired"')
  // The other one has had its looks, too.
  expect(await goesOn?.read()).toMatchObject({ done: false })
  await goesOn?.cancel()
  writeFileSync(FILE, before)
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

test('nothing of another tenant is there, on any route: 404', async () => {
  const jobId = await submit(guarded, smallJob('theirs'), ACME)
  const scheduled = { ...smallJob('nightly'), schedule: { cron: '0 2 * * *' } }
  const { schedule_id } = (await guarded.request(JOBS, { body: scheduled, headers: ACME })).body
  const { status } = await guarded.request('/api/v1/models/theirs', {
    method: 'PUT',
    body: await modelBytes('per-column.onnx'),
    headers: { ...ACME, 'content-type': 'application/octet-stream' },
  })
  expect(status).toBe(201)
  const ids = { job_id: jobId, schedule_id, model_id: 'theirs' }
  // Registering a model of the same name makes one's own.
  const about = (await everyRoute()).filter(({ method, path }) => path.includes('{') && method !== 'PUT')
  expect(about.length).toBeGreaterThan(7)
  for (const route of about) {
    const answer = await call(route, ids, GLOBEX)
    expect([route, answer.status, answer.body.code]).toEqual([route, 404, 'not_found'])
  }
  expect((await listJobs(guarded, '', GLOBEX)).map(({ job_id }) => job_id)).not.toContain(jobId)
  expect((await guarded.request('/api/v1/inference/schedules', { headers: GLOBEX })).body.data).toEqual([])
  // Still there, and untouched.
  expect((await guarded.request(`${JOBS}/${jobId}`, { headers: ACME })).body.status).not.toBe('cancelled')
  const { body } = await guarded.request('/api/v1/inference/schedules', { headers: ACME })
  expect(body.data).toMatchObject([{ schedule_id, enabled: true }])
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
    // There is no scorer: once that is told of the jobs that run, nothing changes in them any more.
    const stuck = async () => (await listJobs(guarded, '&status=running', ACME)).filter((job) => job.waiting_for)
    await until(async () => (await stuck()).length === 3)
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

  test('by several statuses and what a job is about, by pages', async () => {
    const some = (await listJobs(guarded, '', ACME)).filter(
      ({ status, output }) => ['running', 'cancelled'].includes(status) || output.table_name.includes('listed'),
    )
    const found: JsonObject[] = []
    for (const query of [
      'status=running,cancelled',
      'search=LISTED_&status=submitted&destination=table&model_id=churn',
    ])
      found.push(...(await listJobs(guarded, `&${query}`, ACME)))
    expect(new Set(found.map(({ job_id }) => job_id))).toEqual(new Set(some.map(({ job_id }) => job_id)))
    const { body } = await guarded.request(`${JOBS}?status=submitted&limit=1`, { headers: ACME })
    const since = encodeURIComponent(body.data[0].submitted_at)
    const later = await listJobs(guarded, `&submitted_from=${since}`, ACME)
    expect(later.map(({ job_id }) => job_id)).toContain(body.data[0].job_id)
    expect(later.every(({ submitted_at }) => submitted_at >= body.data[0].submitted_at)).toBe(true)
    expect(await listJobs(guarded, `&submitted_from=${since}&submitted_before=${since}`, ACME)).toEqual([])
  })

  test('a last page that is exactly full has no next one', async () => {
    const all = await listJobs(guarded, '', GLOBEX)
    const { body } = await guarded.request(`${JOBS}?limit=${all.length}`, { headers: GLOBEX })
    expect(body).toMatchObject({ has_more: false, next: null, data: { length: all.length } })
  })
})
