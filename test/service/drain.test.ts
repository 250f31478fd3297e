// A thousand jobs of ten tenants, sent in one moment, under two controllers: each runs once, no tenant ever has more active
// jobs than it may, and whoever gets a place is the next in the tenant's queue. Judged by the log of jobs.v1 alone.
import { beforeAll, expect, test } from 'vitest'
import { jobIdOfKey } from '../../src/job/identity.ts'
import { isActive } from '../../src/job/machine.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { commandsTopic } from '../../topics/commands.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { followJobs, type JobHistory } from '../harness/job-history.ts'
import { CHURN_FEATURES, CUSTOMERS, churnJob, modelBytes, seedCustomers } from '../harness/jobs.ts'
import { keySetting } from '../harness/keys.ts'
import { type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const TENANTS = Array.from({ length: 10 }, (_, i) => `tenant${i}`)
const JOBS_OF_A_TENANT = 100
const PLACES = 3
const ROWS = 10

let service: Service
let history: JobHistory
const finished = new Set<string>()

beforeAll(async () => {
  service = await startService({
    name: 'drain',
    settings: {
      BATCH_MAX_CONCURRENT_JOBS: String(PLACES),
      API_KEYS: keySetting(Object.fromEntries(TENANTS.map((tenant) => [`key-of-${tenant}`, tenant]))),
      LOG_LEVEL: 'warn',
    },
    roles: { controller: 2 },
  })
  await seedCustomers(service, ROWS)
  const body = await modelBytes('churn.onnx')
  for (const tenant of TENANTS) {
    const { status } = await service.request(`/api/v1/models/churn?features=${CHURN_FEATURES}`, {
      method: 'PUT',
      body,
      headers: { authorization: `Bearer key-of-${tenant}`, 'content-type': 'application/octet-stream' },
    })
    expect(status).toBe(201)
  }
  history = await followJobs(service, ({ job_id, finished_at }) => {
    if (finished_at !== null) finished.add(job_id)
  })
})

/** Each job names itself in its rows; those of a tenant go to one table. */
function submission(tenant: string, number: number): { key: string; value: string; partition: number } {
  const job = churnJob({
    query: CUSTOMERS.replace('SELECT', `SELECT ${number} AS job,`),
    output: { destination: 'table', table_name: `predictions.${tenant}`, mode: 'append' },
  })
  const value = JSON.stringify({ type: 'submit', tenant_id: tenant, idempotency_key: String(number), job })
  return { key: tenant, value, partition: controlPartition(tenant) }
}

const ids = TENANTS.flatMap((tenant) =>
  Array.from({ length: JOBS_OF_A_TENANT }, (_, number) => jobIdOfKey(tenant, String(number))),
)

/** The snapshots of a tenant's jobs, each with the one before it, in the order of the log: all of them are in one partition. */
function* changesOf(tenant: string): Generator<{ before: JobSnapshot | undefined; after: JobSnapshot }> {
  const jobs = new Map<string, JobSnapshot>()
  for (const after of history.snapshots) {
    if (after.tenant_id !== tenant) continue
    yield { before: jobs.get(after.job_id), after }
    jobs.set(after.job_id, after)
  }
}

test('a thousand jobs of ten tenants are each done once, in order, and no tenant has more places than it may', {
  timeout: 360_000,
}, async () => {
  const producer = service.kafka().producer()
  await producer.connect()
  const numbers = Array.from({ length: JOBS_OF_A_TENANT }, (_, number) => number)
  const messages = numbers.flatMap((number) => TENANTS.map((tenant) => submission(tenant, number)))
  await producer.send({ topic: `${service.prefix}${commandsTopic.name}`, messages })
  await producer.disconnect()

  await until(() => finished.size === ids.length, { timeoutMs: 300_000, what: 'every job to be finished' })

  expect([...finished].sort()).toEqual([...ids].sort())
  const passed = ['submitted', 'preparing', 'running', 'completing', 'completed']
  for (const jobId of ids) expect(history.statuses(jobId)).toEqual(passed)
  for (const tenant of TENANTS) {
    const rows = await service.query(
      `SELECT job, count(*)::int AS rows FROM predictions.${tenant} GROUP BY job ORDER BY job`,
    )
    expect(rows).toEqual(numbers.map((job) => ({ job, rows: ROWS })))
    expectPlacesKept(tenant)
    expectOrderKept(tenant)
  }
})

function expectPlacesKept(tenant: string): void {
  const active = new Set<string>()
  let most = 0
  for (const { after } of changesOf(tenant)) {
    if (isActive(after)) active.add(after.job_id)
    else active.delete(after.job_id)
    most = Math.max(most, active.size)
  }
  // All places were used, and no more than that.
  expect([tenant, most]).toEqual([tenant, PLACES])
}

/** Whoever is admitted was submitted before all who were planned and waiting; of the same millisecond, planned before them. */
function expectOrderKept(tenant: string): void {
  const waiting: JobSnapshot[] = []
  for (const { before, after } of changesOf(tenant)) {
    if (after.status === 'submitted' && after.plan && !before?.plan) waiting.push(after)
    if (after.status === 'submitted' || before?.status !== 'submitted') continue
    const next = waiting.toSorted((a, b) => Number(a.submitted_at - b.submitted_at))[0]
    expect([tenant, after.job_id]).toEqual([tenant, next?.job_id])
    waiting.splice(
      waiting.findIndex(({ job_id }) => job_id === after.job_id),
      1,
    )
  }
  expect(waiting).toEqual([])
}
