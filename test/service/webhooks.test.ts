// Webhooks through the whole service: a job's end is told to a real receiver, as the standard's own library verifies it,
// until the receiver takes it or the time is up, also when the controller is killed in between.
import { Partitioners } from 'kafkajs'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandsTopic } from '../../topics/commands.ts'
import {
  CHURN_FEATURES,
  failed,
  JOBS,
  registerModel,
  run,
  seedCustomers,
  smallJob,
  statusOf,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { keySetting } from '../harness/keys.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { type Received, type Receiver, startReceiver } from '../webhook/receiver.ts'

const OLD = `whsec_${Buffer.alloc(32, 'old').toString('base64')}`
const NEW = `whsec_${Buffer.alloc(32, 'new').toString('base64')}`
/** Ten seconds: the first three tries lie within. */
const RETRY_HOURS = 10 / 3600

let receiver: Receiver
/** The processes as two tenants see them; only acme has secrets. */
let acme: Service
let globex: Service

beforeAll(async () => {
  receiver = await startReceiver()
  const service = await startService({
    name: 'webhooks',
    settings: {
      API_KEYS: keySetting({ 'acme-key': 'acme', 'globex-key': 'globex' }),
      WEBHOOK_SECRETS: JSON.stringify({ acme: [NEW, OLD] }),
      WEBHOOK_PRIVATE_NETWORKS: '127.0.0.1',
      WEBHOOK_RETRY_HOURS: String(RETRY_HOURS),
    },
  })
  const withKey = (key: string): Service => ({
    ...service,
    request: (path, options = {}) =>
      service.request(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${key}` } }),
  })
  acme = withKey('acme-key')
  globex = withKey('globex-key')
  await seedCustomers(service, 10)
  await registerModel(acme, 'churn', 'churn.onnx', CHURN_FEATURES)
  await registerModel(globex, 'churn', 'churn.onnx', CHURN_FEATURES)
})
afterAll(() => receiver.stop())

/** A job of ten rows that tells a path of the receiver's. */
function telling(name: string, webhook: JsonObject = {}): JsonObject {
  return { ...smallJob(name), webhook: { url: receiver.url(`/${name}`), ...webhook } }
}

/** What came to a path. */
function at(path: string): Received[] {
  return receiver.received.filter((request) => request.path === `/${path}`)
}

/** Answers what comes to a path with these statuses, then with 204; null leaves a request without an answer. */
function answers(path: string, ...statuses: (number | null)[]): void {
  const before = receiver.answer
  receiver.answer = (response, request) => {
    if (request.path !== `/${path}`) return before(response, request)
    const status = statuses.length ? statuses.shift() : 204
    if (status) response.writeHead(status, { location: receiver.url('/elsewhere') }).end()
  }
}

function whenTold(jobId: string, state: string): Promise<JsonObject> {
  return whenJob(acme, jobId, state, ({ webhook }) => webhook.state === state)
}

/** The message, once either secret has verified it. */
function verified({ headers, body }: Received): JsonObject {
  const given = headers as Record<string, string>
  expect(new Webhook(NEW).verify(body, given)).toEqual(new Webhook(OLD).verify(body, given))
  return JSON.parse(body)
}

/** A submission by a record on commands.v1. */
async function command(tenantId: string, job: JsonObject): Promise<void> {
  const { kafka, prefix } = acme
  const producer = kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const value = JSON.stringify({ type: 'submit', tenant_id: tenantId, job })
  await producer.send({ topic: `${prefix}${commandsTopic.name}`, messages: [{ key: tenantId, value }] })
  await producer.disconnect()
}

test('a completed job is told once, signed with both secrets, with its status as REST shows it', async () => {
  const job = await run(acme, telling('once'))
  expect(job.webhook).toMatchObject({ url: receiver.url('/once'), events: ['completed', 'failed', 'cancelled'] })
  const { webhook, ...status } = await whenTold(job.job_id, 'delivered')
  expect(webhook).toMatchObject({ attempts: 1, next_attempt_at: null, last_error: null })
  const [request, ...more] = at('once')
  if (!request) throw new Error('nothing came')
  expect(more).toEqual([])
  expect(request.headers['webhook-id']).toBe(`${job.job_id}-completed`)
  expect(verified(request)).toEqual({ type: 'job.completed', timestamp: job.finished_at, data: status })
})

test('a receiver that fails gets the same message again, until it takes it', async () => {
  answers('flaky', 500, 503)
  const { job_id } = await run(acme, telling('flaky'))
  expect((await whenTold(job_id, 'delivered')).webhook).toMatchObject({ attempts: 3, last_error: null })
  const [first, ...again] = at('flaky').map(({ headers, body }) => [headers['webhook-id'], body])
  expect(again).toEqual([first, first])
  for (const request of at('flaky')) verified(request)
})

test('one that never takes it is given up with the reason; the job stays completed, redirects are not followed', async () => {
  answers('moved', ...new Array(20).fill(308))
  const { job_id } = await run(acme, telling('moved'))
  await whenJob(acme, job_id, 'tried', ({ webhook }) => webhook.state === 'pending' && webhook.next_attempt_at !== null)
  expect(await whenTold(job_id, 'failed')).toMatchObject({
    status: 'completed',
    webhook: { attempts: 3, next_attempt_at: null, last_error: expect.stringMatching(/^answered 308; redirects/) },
  })
  expect([at('moved').length, at('elsewhere').length]).toEqual([3, 0])
})

test('only the ends that are named are told', async () => {
  const { job_id } = await run(acme, telling('unnamed', { events: ['failed', 'cancelled'] }))
  expect((await statusOf(acme, job_id)).webhook).toMatchObject({ state: 'not_wanted', attempts: 0 })
  await command('acme', { ...telling('named', { events: ['failed'] }), model_id: 'nothing' })
  const request = await until(() => at('named')[0])
  expect(verified(request)).toMatchObject({
    type: 'job.failed',
    data: { status: 'failed', error: { code: 'model_not_found' } },
  })
  expect(at('unnamed')).toEqual([])
})

test('kill -9 between the end of a job and its delivery: the successor delivers, under the same id', async () => {
  answers('killed', null)
  const jobId = await submit(acme, telling('killed'))
  await until(() => at('killed').length === 1, { what: 'the first try' })
  // The receiver may have heard of it before the API has.
  expect(await whenTold(jobId, 'pending')).toMatchObject({ status: 'completed', webhook: { attempts: 0 } })
  for (const controller of acme.processes('controller')) await controller.kill('SIGKILL')
  await acme.start('controller')
  await whenTold(jobId, 'delivered')
  const [first, second, ...more] = at('killed').map(({ headers, body }) => [headers['webhook-id'], body])
  expect([second, more]).toEqual([first, []])
})

test('what could not be delivered is refused at submission, with what to do', async () => {
  const refused = async (service: Service, webhook: JsonObject): Promise<JsonObject[]> => {
    const { status, body } = await service.request(JOBS, { body: { ...smallJob('refused'), webhook } })
    expect(status, JSON.stringify(body)).toBe(400)
    return body.errors.map(({ pointer, detail }: JsonObject) => [pointer, detail])
  }
  const { port } = receiver
  expect(await refused(globex, { url: receiver.url('/') })).toEqual([
    ['/webhook', expect.stringMatching(/^tenant globex has no secret .* WEBHOOK_SECRETS/)],
  ])
  const refusals: [string, RegExp][] = [
    ['https://169.254.169.254/latest/meta-data', /no public address, .* WEBHOOK_PRIVATE_NETWORKS/],
    [`https://[::ffff:10.0.0.1]:${port}/`, /no public address/],
    ['http://1.1.1.1/', /^expected https/],
    ['hooks.example.com', /^expected a URL such as https/],
  ]
  for (const [url, detail] of refusals)
    expect(await refused(acme, { url })).toEqual([['/webhook/url', expect.stringMatching(detail)]])
  expect(await acme.query("SELECT to_regclass('predictions.refused') AS found")).toEqual([{ found: null }])
})

test('a direct command of a tenant without a secret is a failed job with the reason', async () => {
  await command('globex', telling('secretless'))
  const [{ job_id }] = await until(async () => {
    const { data } = (await globex.request(JOBS)).body
    return data.length ? data : undefined
  })
  const { error } = await failed(globex, job_id)
  expect(error.message).toMatch(/^\/webhook: tenant globex has no secret/)
  const job = await whenJob(globex, job_id, 'given up', ({ webhook }) => webhook.state === 'failed')
  expect(job.webhook).toMatchObject({ attempts: 1, last_error: 'tenant globex has no secret in WEBHOOK_SECRETS' })
  expect(at('secretless')).toEqual([])
})
