// A finished job is kept for BATCH_RESULT_TTL_HOURS: then it, its errors and the files that it wrote are gone; a table stays.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { CHURN_FEATURES, churnJob, registerModel, run, seedCustomers } from '../harness/jobs.ts'
import { type Service, startService } from '../harness/service.ts'
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

test('a controller that was away sweeps when it is back', async () => {
  const job = await run(service, churnJob({ output: { destination: 'parquet', path: 'missed' } }))
  for (const controller of service.processes('controller')) await controller.kill('SIGKILL')
  await service.start('controller')
  await gone(job.job_id)
  expect(await filesIn('missed')).toEqual([])
})
