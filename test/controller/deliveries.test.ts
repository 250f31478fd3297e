// Webhooks on their way from a controller, to real receivers: how many tries run at a time, and what stopping does.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Deliveries, type DeliveryOutcome } from '../../src/controller/deliveries.ts'
import { next } from '../../src/job/machine.ts'
import { newWebhook } from '../../src/job/webhook.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { until } from '../harness/until.ts'
import { running } from '../job/snapshots.ts'
import { type Receiver, startReceiver } from '../webhook/receiver.ts'

const settings = {
  secrets: new Map(['acme', 'globex'].map((tenant) => [tenant, [Buffer.alloc(32, tenant)]])),
  privateNetworks: ['127.0.0.1'],
  retryHours: 24,
}

/** One that never answers, and one that does. */
let dead: Receiver
let well: Receiver
let outcomes: DeliveryOutcome[]
let deliveries: Deliveries

beforeAll(async () => {
  dead = await startReceiver()
  well = await startReceiver()
  dead.answer = () => {}
})
afterAll(() => {
  dead.stop()
  well.stop()
})
beforeEach(() => {
  dead.received.length = 0
  well.received.length = 0
  outcomes = []
  deliveries = new Deliveries(settings, (outcome) => outcomes.push(outcome))
})

function finished(id: string, url: string, tenantId = 'acme'): JobSnapshot {
  const webhook = newWebhook({ url, events: ['cancelled'] })
  return next(running({ job_id: id, tenant_id: tenantId, webhook }), { type: 'cancelled', at: Date.now() })
}

test('a dead receiver holds two tries, and neither the tenant’s other receivers nor other tenants', async () => {
  const waiting = ['a', 'b', 'c', 'd', 'e'].map((id) => finished(id, dead.url(`/${id}`)))
  for (const job of waiting) deliveries.start(job)
  deliveries.start(finished('other-receiver', well.url('/')))
  deliveries.start(finished('other-tenant', dead.url('/other-tenant'), 'globex'))
  await until(() => outcomes.length === 1 && dead.received.length === 3)
  expect(outcomes).toMatchObject([{ jobId: 'other-receiver', event: { type: 'webhook-tried', error: null } }])
  expect(dead.received.map(({ path }) => path).sort()).toEqual(['/a', '/b', '/other-tenant'])
  await deliveries.stop()
})

test('no job has two tries at a time, and a place that is free again is used', async () => {
  const jobs = ['a', 'b', 'c'].map((id) => finished(id, well.url(`/${id}`)))
  for (const job of [...jobs, ...jobs]) deliveries.start(job)
  await until(() => outcomes.length === 2)
  for (const { jobId } of outcomes) deliveries.settled(jobId)
  expect(well.received.map(({ path }) => path).sort()).toEqual(['/a', '/b'])
  deliveries.start(jobs[2] as JobSnapshot)
  await until(() => outcomes.length === 3)
  expect(well.received).toHaveLength(3)
})

test('a try whose outcome has not been taken is not made again, as its job does not say yet that it was made', async () => {
  const job = finished('a', well.url('/'))
  deliveries.start(job)
  await until(() => outcomes.length === 1)
  deliveries.start(job)
  deliveries.start(finished('b', well.url('/')))
  await until(() => outcomes.length === 2)
  expect(outcomes.map(({ jobId }) => jobId)).toEqual(['a', 'b'])
  deliveries.settled('a')
  deliveries.start(job)
  await until(() => outcomes.length === 3)
})

test('stopping cuts off what is under way, and counts it for nothing', async () => {
  deliveries.start(finished('a', dead.url('/')))
  await until(() => dead.received.length === 1)
  await deliveries.stop()
  expect(outcomes).toEqual([])
})
