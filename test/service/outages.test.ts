// What passes by itself is waited for: Kafka, Postgres and the model store go away under jobs in every state, and come back.
// The servers are this file's own. No process dies of it, and an attempt is lost only where rows had been read without a key.
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { lockStatement } from '../../connectors/postgres/ledger.ts'
import { type EmbeddedKafka, startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { type EmbeddedPostgres, startPostgres } from '../../embedded/postgres.ts'
import { jobIdOfKey } from '../../src/job/identity.ts'
import { ROLES } from '../../topics/workers.ts'
import { whenFileEnds } from '../harness/file-end.ts'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  failed,
  registerModel,
  seedCustomers,
  smallJob,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ROWS = 300_000
/** Longer than until's default: a broker that is back is not there at once for everybody. */
const PATIENCE_MS = 120_000
let kafka: EmbeddedKafka
let postgres: EmbeddedPostgres
let service: Service
const ports = { kafka: 0, postgres: 0 }
const folders = { kafka: '', postgres: '' }

beforeAll(async () => {
  for (const name of ['kafka', 'postgres'] as const) {
    ports[name] = await freePort()
    folders[name] = mkdtempSync(join(tmpdir(), `scoreline-outage-${name}-`))
  }
  whenFileEnds(async () => {
    await Promise.all([kafka?.stop(), postgres?.stop()])
    for (const folder of Object.values(folders)) rmSync(folder, { recursive: true, force: true })
  })
  await Promise.all([
    startKafka({ port: ports.kafka, dataDir: folders.kafka }).then((server) => {
      kafka = server
    }),
    startPostgres({ port: ports.postgres, dataDir: folders.postgres }).then((server) => {
      postgres = server
    }),
  ])
  service = await startService({
    name: 'outages',
    settings: { BATCH_MAX_CONCURRENT_JOBS: '10' },
    servers: { brokers: kafka.brokers, databaseUrl: postgres.url },
  })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

async function restartPostgres(): Promise<void> {
  await postgres.stop()
  postgres = await startPostgres({ port: ports.postgres, dataDir: folders.postgres })
}

async function restartKafka(): Promise<void> {
  await kafka.stop()
  kafka = await startKafka({ port: ports.kafka, dataDir: folders.kafka })
}

function largeJob(name: string, input: JsonObject = {}): JsonObject {
  const output = { destination: 'table', table_name: `predictions.${name}` }
  const job = churnJob({ query: unhurried(ROWS), output, config: { batch_size: 250 } })
  return { ...job, input: { ...job.input, ...input } }
}

async function inItsMiddle(jobId: string): Promise<void> {
  await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
}

async function expectRows(name: string, rows: number): Promise<void> {
  const [found] = await service.query(
    `SELECT count(*)::int AS rows, count(DISTINCT customer_id)::int AS keys FROM predictions.${name}`,
  )
  expect(found).toEqual({ rows, keys: rows })
}

/** No process has died of what happened. */
function expectAllAlive(): void {
  for (const role of ROLES) for (const { pid } of service.processes(role)) expect(process.kill(pid, 0)).toBe(true)
}

const AT_ONCE = { attempt: 1, failed_attempts: [] }

test('the model store is away: the first chunk waits for the model, and no attempt is lost', async () => {
  const models = join(dirname(service.outputDir), 'models')
  await rename(models, `${models}.away`)
  const jobId = await submit(service, smallJob('model_away'))
  await until(() => service.processes('scorer').some(({ log }) => log.join().includes('waiting for the model')), {
    what: 'the scorer to look for the model',
  })
  await rename(`${models}.away`, models)
  expect(await completed(service, jobId)).toMatchObject(AT_ONCE)
})

test('a model that is gone from a store that is there ends the job at once', async () => {
  const models = join(dirname(service.outputDir), 'models')
  const before = await readdir(models)
  await registerModel(service, 'gone', 'linear.onnx', CHURN_FEATURES)
  for (const name of await readdir(models)) if (!before.includes(name)) await rm(join(models, name))
  const jobId = await submit(service, { ...smallJob('model_gone'), model_id: 'gone' })
  expect(await failed(service, jobId)).toMatchObject({ attempt: 1, error: { code: 'model_missing' } })
})

test('Postgres restarts while jobs are prepared, read, written and made visible', async () => {
  await service.query('CREATE SCHEMA IF NOT EXISTS predictions')
  await service.query('CREATE TABLE predictions.finalising AS SELECT * FROM predictions.model_away')
  const other = await service.connect()
  const preparing = jobIdOfKey('default', 'preparing')
  await other.query(
    `BEGIN; LOCK TABLE predictions.finalising IN ROW EXCLUSIVE MODE; ${lockStatement(`job ${preparing}`)}`,
  )
  await submit(service, smallJob('preparing'), { 'idempotency-key': 'preparing' })
  const job = smallJob('finalising')
  const completing = await submit(service, { ...job, output: { ...job.output, mode: 'overwrite' } })
  await whenJob(service, completing, 'completing', ({ status }) => status === 'completing')
  await whenJob(service, preparing, 'preparing', ({ status }) => status === 'preparing')
  const keyed = await submit(service, largeJob('keyed', { key_column: 'customer_id' }))
  const unkeyed = await submit(service, largeJob('unkeyed'))
  await Promise.all([keyed, unkeyed].map(inItsMiddle))
  // The locks go with the server.
  await restartPostgres()
  for (const jobId of [preparing, completing, keyed])
    expect(await completed(service, jobId, PATIENCE_MS)).toMatchObject(AT_ONCE)
  // Rows had been read, and might come in another order: that costs one attempt for one outage, and says so.
  const again = await completed(service, unkeyed, PATIENCE_MS)
  expect(again.attempt).toBe(again.failed_attempts.length + 1)
  expect(again.attempt).toBeLessThanOrEqual(2)
  for (const { error } of again.failed_attempts) expect(error.code).toBe('database_unavailable')
  for (const name of ['keyed', 'unkeyed']) await expectRows(name, ROWS)
  for (const name of ['preparing', 'finalising']) await expectRows(name, 10)
  expectAllAlive()
}, 480_000)

test('Kafka restarts in the middle of a job: everything waits for it and goes on, in the same attempt', async () => {
  const jobId = await submit(service, largeJob('broker_away'))
  await inItsMiddle(jobId)
  await restartKafka()
  expect(await completed(service, jobId, PATIENCE_MS)).toMatchObject(AT_ONCE)
  await expectRows('broker_away', ROWS)
  expectAllAlive()
}, 480_000)
