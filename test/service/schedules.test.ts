// Schedules through the whole service, with two controllers running: one job for each firing, also when the owner is
// killed at that moment; and schedules as a client sees them over REST and Kafka.
import kafkajs, { Partitioners } from 'kafkajs'
import { beforeAll, describe, expect, test } from 'vitest'
import { jobIdOfFiring } from '../../src/job/identity.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  failed,
  recordsOf,
  registerModel,
  seedCustomers,
} from '../harness/jobs.ts'
import { keySetting } from '../harness/keys.ts'
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const JOBS = '/api/v1/inference/batch'
const SCHEDULES = '/api/v1/inference/schedules'
const NEVER = '0 0 29 2 *'
const SECOND_MS = 1_000

/** The processes as two tenants see them. */
let service: Service
let acme: Service
let globex: Service

beforeAll(async () => {
  service = await startService({
    name: 'schedules',
    roles: { controller: 2 },
    settings: { API_KEYS: keySetting({ 'acme-key': 'acme', 'globex-key': 'globex' }), BATCH_MAX_CONCURRENT_JOBS: '50' },
  })
  acme = withKey('acme-key')
  globex = withKey('globex-key')
  await seedCustomers(service, 1_000)
  await registerModel(acme, 'churn', 'churn.onnx', CHURN_FEATURES)
})

function withKey(key: string): Service {
  const authorization = `Bearer ${key}`
  return {
    ...service,
    request: (path, options = {}) =>
      service.request(path, { ...options, headers: { ...options.headers, authorization } }),
  }
}

/** A job of ten rows into a table of its own, as a schedule. */
function scheduled(name: string, schedule: JsonObject, query = `${CUSTOMERS} WHERE customer_id <= 10`): JsonObject {
  const output = { destination: 'table', table_name: `predictions.${name}`, mode: 'append' }
  return { ...churnJob({ query, output, config: { parallelism: 1 } }), schedule }
}

async function create(body: JsonObject, headers: Record<string, string> = {}): Promise<JsonObject> {
  const answer = await acme.request(JOBS, { body, headers })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return answer.body
}

async function look(id: string): Promise<JsonObject> {
  const { status, body } = await acme.request(`${SCHEDULES}/${id}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

async function patch(id: string, body: unknown): Promise<JsonObject> {
  return acme.request(`${SCHEDULES}/${id}`, { method: 'PATCH', body })
}

/** All that there are by now: the API follows jobs and schedules apart, and asked for a job in vain it first reads all jobs written so far. */
async function jobsOf(id: string): Promise<JsonObject[]> {
  expect((await acme.request(`${JOBS}/batch-none`)).status).toBe(404)
  const { status, body } = await acme.request(`${JOBS}?schedule_id=${id}&limit=1000`)
  expect(status, JSON.stringify(body)).toBe(200)
  return body.data
}

async function whenFired(id: string, times: number): Promise<void> {
  await until(async () => (await jobsOf(id)).length >= times, {
    timeoutMs: 120_000,
    what: `${id} to fire ${times} times`,
  })
}

/** Stops a schedule; then its jobs must be those of every firing from its creation to the last one, each once. */
async function expectEveryFiringOnce(id: string, periodMs: number): Promise<void> {
  const { status, body } = await patch(id, { enabled: false })
  expect(status, JSON.stringify(body)).toBe(200)
  const expected: string[] = []
  const last = Date.parse(body.last_fired_at)
  for (let at = Math.floor(Date.parse(body.created_at) / periodMs + 1) * periodMs; at <= last; at += periodMs)
    expected.push(jobIdOfFiring(id, BigInt(at)))
  expect((await jobsOf(id)).map(({ job_id }) => job_id)).toEqual(expected.reverse())
  expect(body.last_job_id).toBe(expected[0])
  expect(body.recent_firings.map(({ job_id }: JsonObject) => job_id)).toEqual(expected.slice(0, 10))
}

/** Waits until every job of a schedule is finished; they must have succeeded, and each has written its ten rows. */
async function expectRows(id: string, table: string): Promise<void> {
  const jobs = await until(async () => {
    const all = await jobsOf(id)
    return all.every(({ finished_at }) => finished_at !== null) ? all : undefined
  })
  expect(jobs.filter(({ status }) => status !== 'completed')).toEqual([])
  expect(await service.query(`SELECT count(*)::int AS rows FROM predictions.${table}`)).toEqual([
    { rows: 10 * jobs.length },
  ])
}

/** The controller that owns the tenant's partition, as the broker says. */
async function ownerOf(tenantId: string): Promise<RoleProcess> {
  const admin = service.kafka().admin()
  await admin.connect()
  try {
    return await until(async () => {
      const { groups } = await admin.describeGroups([`${service.prefix}controller`])
      const owner = groups[0]?.members.find(({ memberAssignment }) => {
        const assigned = kafkajs.AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment ?? {}
        return Object.values(assigned).some((partitions) => partitions.includes(controlPartition(tenantId)))
      })
      return service.processes('controller').find(({ pid }) => owner?.clientId.includes(`-${pid}-`))
    })
  } finally {
    await admin.disconnect()
  }
}

describe('two controllers', () => {
  test('every time one job, and its rows once', async () => {
    // Further apart than two looks of a controller that is held up: of two firings that are due together it makes the last.
    const { schedule_id } = await create(scheduled('ticking', { cron: '*/4 * * * * *', overlap: 'allow' }))
    await whenFired(schedule_id, 3)
    await expectEveryFiringOnce(schedule_id, 4 * SECOND_MS)
    await expectRows(schedule_id, 'ticking')
  })

  test('kill -9 of the owner at the moment of firing: no firing is lost, none is made twice', async () => {
    // Longer than a takeover (a session of 6 s, and on a busy machine as much again), so that the next owner is there before the next
    // firing is due.
    const period = 15 * SECOND_MS
    const { schedule_id } = await create(scheduled('killed', { cron: '*/15 * * * * *', overlap: 'allow' }))
    // Before the firing is written, and just after.
    for (const killAt of ['due', 'made'] as const) {
      const owner = await ownerOf('acme')
      const due = Date.parse((await look(schedule_id)).next_fire_at)
      const made = async () => (await jobsOf(schedule_id)).some(({ job_id }) => job_id === firing)
      const firing = jobIdOfFiring(schedule_id, BigInt(due))
      await until(() => Date.now() >= due, { timeoutMs: period + SECOND_MS, everyMs: 1 })
      if (killAt === 'made') await until(made)
      expect(await owner.kill('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
      await until(made)
      await service.start('controller')
    }
    await whenFired(schedule_id, (await jobsOf(schedule_id)).length + 1)
    await expectEveryFiringOnce(schedule_id, period)
    await expectRows(schedule_id, 'killed')
  }, 360_000)

  test('a pause stops it, going on makes up for nothing, deleting ends it', async () => {
    const clock = await create(scheduled('clock', { cron: '*/2 * * * * *', overlap: 'allow' }))
    const { schedule_id } = await create(scheduled('paused', { cron: '*/2 * * * * *', overlap: 'allow' }))
    await whenFired(schedule_id, 1)
    const paused = (await patch(schedule_id, { enabled: false })).body
    expect(paused).toMatchObject({ enabled: false, next_fire_at: null, next_firings: [] })
    const before = (await jobsOf(schedule_id)).length
    await whenFired(clock.schedule_id, (await jobsOf(clock.schedule_id)).length + 3)
    expect(await jobsOf(schedule_id)).toHaveLength(before)

    const goneOn = (await patch(schedule_id, { enabled: true })).body
    expect(Date.parse(goneOn.next_fire_at)).toBeGreaterThan(Date.parse(paused.last_fired_at) + 4 * SECOND_MS)
    await whenFired(schedule_id, before + 1)
    const [newest] = await jobsOf(schedule_id)
    expect(Date.parse(newest?.submitted_at)).toBeGreaterThanOrEqual(Date.parse(goneOn.next_fire_at))

    expect((await acme.request(`${SCHEDULES}/${schedule_id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await acme.request(`${SCHEDULES}/${schedule_id}`)).status).toBe(404)
    const made = (await jobsOf(schedule_id)).length
    await whenFired(clock.schedule_id, (await jobsOf(clock.schedule_id)).length + 3)
    expect(await jobsOf(schedule_id)).toHaveLength(made)
    await patch(clock.schedule_id, { enabled: false })
    await expectRows(schedule_id, 'paused')
  })

  test('each firing is planned anew: a table that changed gives failed jobs with the reason', async () => {
    await seedCustomers(service, 10, 'changing')
    const query = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM changing'
    const { schedule_id } = await create(scheduled('changed', { cron: NEVER }, query))
    await service.query('ALTER TABLE changing DROP COLUMN tenure')
    await patch(schedule_id, { cron: '* * * * * *' })
    await whenFired(schedule_id, 1)
    await patch(schedule_id, { enabled: false })
    const [job] = await jobsOf(schedule_id)
    const { error, schedule_id: by } = await failed(acme, job?.job_id)
    expect([by, error.message]).toEqual([schedule_id, expect.stringMatching(/\/input\/query: .*tenure/)])
  })
})

describe('over REST', () => {
  test('a submission with a schedule makes one instead of a job; the answer is its status', async () => {
    const schedule = { cron: '30 2 * * *', timezone: 'Europe/Berlin', overlap: 'buffer_one', catchup_minutes: 5 }
    const body = scheduled('nightly', schedule)
    const answer = await acme.request(JOBS, { body })
    expect([answer.status, answer.headers.get('location')]).toEqual([201, `${SCHEDULES}/${answer.body.schedule_id}`])
    const { schedule: _, ...job } = body
    expect(answer.body).toEqual({
      schedule_id: expect.stringMatching(/^schedule-[0-9a-f]{20}$/),
      ...schedule,
      enabled: true,
      job,
      created_at: expect.any(String),
      last_fired_at: null,
      last_job_id: null,
      last_skipped: null,
      recent_firings: [],
      waiting_fire_at: null,
      next_fire_at: answer.body.next_firings[0],
      next_firings: [expect.any(String), expect.any(String), expect.any(String)],
    })
    const berlin = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Berlin', timeStyle: 'medium' })
    for (const at of answer.body.next_firings) expect(berlin.format(Date.parse(at))).toMatch(/^0(2:30|3:00):00$/)
    expect(await look(answer.body.schedule_id)).toEqual(answer.body)
    expect(await jobsOf(answer.body.schedule_id)).toEqual([])
  })

  test('everything is checked at once, and nothing is made', async () => {
    const before = (await acme.request(SCHEDULES)).body.data.length
    const wrong = scheduled('wrong', { cron: '0 25 * * *', timezone: 'Berlin' })
    const { status, headers, body } = await acme.request(JOBS, { body: wrong })
    expect([status, headers.get('content-type')]).toEqual([400, expect.stringContaining('application/problem+json')])
    expect(body.errors.map(({ pointer }: JsonObject) => pointer)).toEqual(['/schedule/cron', '/schedule/timezone'])
    const unplanned = await acme.request(JOBS, { body: scheduled('wrong', { cron: NEVER }, 'SELECT nothing') })
    expect([unplanned.status, unplanned.body.errors[0].pointer]).toEqual([400, '/input/query'])
    const valid = { body: scheduled('wrong', { cron: NEVER }) }
    expect((await acme.request(`${JOBS}?validate_only=true`, valid)).body).toMatchObject({ valid: true })
    expect((await acme.request(SCHEDULES)).body.data).toHaveLength(before)
  })

  test('an idempotency key stands for one schedule, or one job', async () => {
    const headers = { 'idempotency-key': 'nightly' }
    const body = scheduled('once', { cron: NEVER })
    const answers = await Promise.all([1, 2, 3].map(() => create(body, headers)))
    expect(new Set(answers.map(({ schedule_id }) => schedule_id)).size).toBe(1)
    const { schedule: _, ...job } = body
    for (const other of [{ ...body, schedule: { cron: '0 0 * * *' } }, job])
      expect((await acme.request(JOBS, { body: other, headers })).body).toMatchObject({ code: 'idempotency_conflict' })
    const used = { 'idempotency-key': 'a-job' }
    expect((await acme.request(JOBS, { body: job, headers: used })).status).toBe(202)
    expect((await acme.request(JOBS, { body, headers: used })).status).toBe(409)
  })

  test('a change names its faults, keeps what it does not name, and is seen in the answer', async () => {
    const { schedule_id, ...before } = await create(scheduled('patched', { cron: NEVER }))
    const { status, body } = await patch(schedule_id, { cron: '0 0 31 2 *', overlap: 'queue' })
    expect([status, body.errors.map(({ pointer }: JsonObject) => pointer)]).toEqual([400, ['/overlap']])
    const again = await patch(schedule_id, { cron: '0 0 31 2 *', job: { ...before.job, model_id: 'a@b' } })
    expect(again.body.errors.map(({ pointer }: JsonObject) => pointer)).toEqual(['/cron', '/job/model_id'])
    const unplanned = await patch(schedule_id, { job: { ...before.job, model_id: 'nobody' } })
    expect([unplanned.status, unplanned.body.errors[0].pointer]).toEqual([400, '/job/model_id'])
    expect(await look(schedule_id)).toEqual({ schedule_id, ...before })

    const job = { ...before.job, config: { parallelism: 2 } }
    const after = await patch(schedule_id, { timezone: 'Asia/Tokyo', catchup_minutes: 7, job })
    expect(after.status).toBe(200)
    expect(after.body).toMatchObject({ cron: NEVER, overlap: 'skip', timezone: 'Asia/Tokyo', catchup_minutes: 7, job })
    expect(Date.parse(before.next_fire_at) - Date.parse(after.body.next_fire_at)).toBe(9 * 3_600 * SECOND_MS)
    expect((await patch(schedule_id, { catchup_minutes: 7 })).body).toEqual(after.body)
  })

  test('a schedule is its tenant’s alone', async () => {
    const { schedule_id } = await create(scheduled('private', { cron: NEVER }))
    const path = `${SCHEDULES}/${schedule_id}`
    for (const options of [{}, { method: 'PATCH', body: { enabled: false } }, { method: 'DELETE' }]) {
      const { status, body } = await globex.request(path, options)
      expect([status, body.code]).toEqual([404, 'not_found'])
    }
    expect((await globex.request(SCHEDULES)).body).toEqual({ data: [], has_more: false, next: null })
    expect((await service.request(SCHEDULES)).status).toBe(401)
    expect(await look(schedule_id)).toMatchObject({ enabled: true })
  })

  test('the list is newest first, in pages', async () => {
    for (const name of ['one', 'two', 'three']) await create(scheduled(name, { cron: NEVER, enabled: false }))
    const all = (await acme.request(`${SCHEDULES}?limit=1000`)).body.data
    expect(all.slice(0, 3).map(({ job }: JsonObject) => job.output.table_name)).toEqual([
      'predictions.three',
      'predictions.two',
      'predictions.one',
    ])
    const pages: JsonObject[][] = []
    for (let next: string | null = ''; next !== null; ) {
      const { body } = await acme.request(`${SCHEDULES}?limit=2${next && `&after=${next}`}`)
      expect(body.has_more).toBe(body.next !== null)
      pages.push(body.data)
      next = body.next
    }
    expect(pages.flat()).toEqual(all)
    expect((await acme.request(`${SCHEDULES}?after=x`)).body).toMatchObject({ code: 'invalid_cursor' })
  })
})

describe('by commands on Kafka', () => {
  async function produce(value: JsonObject): Promise<void> {
    const producer = service.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    const messages = [{ key: 'acme', value: JSON.stringify({ tenant_id: 'acme', ...value }) }]
    await producer.send({ topic: `${service.prefix}${commandsTopic.name}`, messages })
    await producer.disconnect()
  }

  test('created once however often it is sent, changed, fired and deleted', async () => {
    const job = scheduled('by_record', { cron: NEVER })
    for (const _ of [1, 2]) await produce({ type: 'submit', idempotency_key: 'record', job })
    // Over REST the same key finds it.
    const { schedule_id } = await create(job, { 'idempotency-key': 'record' })
    await produce({ type: 'schedule', schedule_id, schedule: { cron: '* * * * * *' } })
    await whenFired(schedule_id, 2)
    await produce({ type: 'schedule', schedule_id, schedule: null })
    await until(async () => (await acme.request(`${SCHEDULES}/${schedule_id}`)).status === 404)
    await expectRows(schedule_id, 'by_record')
  })

  test('a wrong schedule is a failed job with the reasons; a change that cannot be made is a dead letter', async () => {
    const job = scheduled('refused', { cron: '* * *' })
    await produce({ type: 'submit', idempotency_key: 'refused', job })
    const found = await until(async () =>
      (await acme.request(`${JOBS}?status=failed`)).body.data.find(({ error }: JsonObject) =>
        /\/schedule\/cron/.test(error.message),
      ),
    )
    expect(found).toMatchObject({ schedule_id: null, error: { code: 'invalid_request' } })
    const schedule_id = 'schedule-00000000000000000000'
    await produce({ type: 'schedule', schedule_id, schedule: { enabled: false } })
    const letter = await until(async () =>
      (await recordsOf(service, deadLettersTopic.name)).find(({ content }) => content?.includes?.(schedule_id)),
    )
    expect(letter).toMatchObject({ kind: 'command', reason: `tenant acme has no schedule ${schedule_id}` })
  })
})
