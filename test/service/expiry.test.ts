// A finished job is kept for BATCH_RESULT_TTL_HOURS: then it, its errors and the files that it wrote are gone; a table stays.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { jobsTopic } from '../../topics/jobs.ts'
import { progressTopic } from '../../topics/progress.ts'
import { readsTopic } from '../../topics/reads.ts'
import { workerCodec, workersTopic } from '../../topics/workers.ts'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  rawRecordsOf,
  registerModel,
  run,
  seedCustomers,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

/** Four seconds, in hours. */
const TTL_HOURS = 4 / 3600
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'expiry', settings: { BATCH_RESULT_TTL_HOURS: String(TTL_HOURS) } })
  await seedCustomers(service, 500)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

const filesIn = (path: string) => readdir(join(service.outputDir, path))
const gone = (jobId: string) =>
  until(async () => (await service.request(`/api/v1/inference/batch/${jobId}`)).status === 404, {
    what: `${jobId} to be gone`,
  })

test('files vanish, the table stays, and the job with its errors does not exist any more', async () => {
  const { output, ...rest } = churnJob()
  const job = await run(service, { ...rest, output, outputs: [{ destination: 'parquet', path: 'short-lived' }] })
  expect(await filesIn('short-lived')).toContain('_SUCCESS')
  await gone(job.job_id)
  expect(await filesIn('short-lived')).toEqual([])
  expect(await service.query('SELECT count(*)::int AS n FROM predictions.churn_scores')).toEqual([{ n: 500 }])
  expect(await service.query('SELECT * FROM scoreline_sink.results')).toEqual([])
  expect((await service.request(`/api/v1/inference/batch/${job.job_id}/errors`)).status).toBe(404)
  expect((await service.request('/api/v1/inference/batch')).body.data).toEqual([])
})

test('what a later job wrote into the directory stays', async () => {
  const into = (mode: string) => churnJob({ output: { destination: 'csv', path: 'kept', mode } })
  const first = await run(service, into('overwrite'))
  const second = await run(service, into('append'))
  await gone(first.job_id)
  // Files are gone before the job is; the later job's go in their turn.
  const names = await filesIn('kept')
  expect(names.filter((name) => name.includes(first.job_id))).toEqual([])
  await gone(second.job_id)
  expect(await filesIn('kept')).toEqual([])
})

test('no record of a job is left, also not what workers wrote after its end', async () => {
  const query = 'SELECT c.* FROM customers c, generate_series(1, 4000)'
  const jobId = await submit(service, churnJob({ query, output: { destination: 'csv', path: 'cut-off' } }))
  await whenJob(service, jobId, 'scored in part', ({ progress }) => progress.processed_rows > 0)
  expect((await service.request(`/api/v1/inference/batch/${jobId}/cancel`, { method: 'POST' })).status).toBe(200)
  await gone(jobId)
  for (const topic of [jobsTopic, readsTopic, progressTopic]) {
    const records = await rawRecordsOf(service, topic.name)
    const ofJob = records.filter(({ key }) => key === jobId || key.startsWith(`${jobId}/`))
    const newest = new Map(ofJob.map(({ key, value }) => [key, value]))
    expect(newest.size, topic.name).toBeGreaterThan(0)
    expect(
      [...newest].filter(([, value]) => value !== null).map(([key]) => key),
      topic.name,
    ).toEqual([])
  }
  expect(await filesIn('')).not.toContain('_scoreline')
})

test('an idempotency key stands for its job as long as that is kept, and then for a new one', async () => {
  const headers = { 'idempotency-key': 'weekly' }
  const topic = `predictions.${service.prefix}weekly`
  const job = churnJob({ output: { destination: 'kafka', topic, format: 'json' } })
  const jobId = await submit(service, job, headers)
  await completed(service, jobId)
  expect(await submit(service, job, headers)).toBe(jobId)
  await gone(jobId)
  expect(await submit(service, job, headers)).toBe(jobId)
  expect((await completed(service, jobId)).progress.written_rows).toBe(500)
})

test('a controller that was away sweeps when it is back', async () => {
  const job = await run(service, churnJob({ output: { destination: 'parquet', path: 'missed' } }))
  for (const controller of service.processes('controller')) await controller.kill('SIGKILL')
  await service.start('controller')
  await gone(job.job_id)
  expect(await filesIn('missed')).toEqual([])
})

test('a worker that died long ago is forgotten; one that died lately is shown as lost', async () => {
  const { body } = await service.request('/api/v1/workers')
  const [alive] = body.data
  const heartbeat = (worker_id: string, hours: number) => ({
    ...alive,
    worker_id,
    rss_bytes: 0n,
    rss_peak_bytes: 0n,
    cpu_ms: 0n,
    started_at: 0n,
    at: BigInt(Date.now() - hours * 3_600_000),
  })
  const partition = controlPartition('scorer-old')
  const producer = service.kafka().producer()
  await producer.connect()
  await producer.send({
    topic: `${service.prefix}${workersTopic.name}`,
    messages: [heartbeat('scorer-old', 2), heartbeat('scorer-lately', 0.5)].map((worker) => ({
      key: worker.worker_id,
      value: workerCodec.encode(worker),
      partition,
    })),
  })
  await producer.disconnect()
  const workers = async () =>
    (await service.request('/api/v1/workers')).body.data.map(({ worker_id }: JsonObject) => worker_id)
  await until(async () => (await workers()).includes('scorer-lately'))
  await until(async () => !(await workers()).includes('scorer-old'))
  expect(await workers()).toContain('scorer-lately')
})
