// Results in an object store, from the request to the objects: complete, exactly once after kill -9 of the sink, and paths
// that must not be written refused.
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { duckdb } from '../connectors/files/duckdb.ts'
import { summaryOf } from '../connectors/files/s3-reader.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  registerModel,
  seedCustomers,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../harness/s3.ts'
import { type Service, startService } from '../harness/service.ts'

const ROWS = 600_000
const EXACTLY_ONCE = { rows: ROWS, ids: ROWS, lowest: 1, highest: ROWS }

let s3: S3Server
let bucket: string
let service: Service

beforeAll(async () => {
  s3 = await startS3()
  bucket = await s3.bucket()
  service = await startService({
    name: 's3',
    settings: {
      ...s3.env,
      S3_ENDPOINT: s3.endpoint,
      OUTPUT_ROOTS: `s3://${bucket}/results,s3://no-such-bucket/`,
      KAFKA_SESSION_TIMEOUT_MS: '3000',
    },
  })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  return s3.stop
})

const submitTo = (path: string, output: Record<string, unknown> = {}, query = CUSTOMERS) =>
  submit(service, churnJob({ query, output: { destination: 'parquet', path, ...output }, config: { batch_size: 500 } }))
const names = async (prefix: string) => Object.keys(await objectsIn(s3.client, bucket, prefix))

test('kill -9 of the sink in the middle of a job: every key is there exactly once, and nothing else', async () => {
  // Parts of about 100,000 rows: some are durable when the sink is killed, others are being uploaded.
  const jobId = await submitTo(`s3://${bucket}/results/parquet/`, { target_file_mb: 1 }, unhurried(ROWS, 2))
  await whenJob(service, jobId, 'partly durable', ({ progress }) => progress.written_rows > 0)
  await service.processes('sink')[0]?.kill('SIGKILL')
  const replacement = service.start('sink')
  const job = await completed(service, jobId)
  await replacement
  expect(job).toMatchObject({ attempt: 1, progress: { written_rows: ROWS, failed_rows: 0 } })
  expect(await summaryOf(s3, `${bucket}/results/parquet`, 'parquet')).toMatchObject(EXACTLY_ONCE)
  expect((await names('results/parquet/')).filter((name) => name.startsWith('_'))).toEqual([
    '_SUCCESS',
    '_manifest.json',
  ])
  expect(await openUploads(s3.client, bucket)).toEqual([])
})

test('CSV, at a path relative to the root', async () => {
  await completed(service, await submitTo('csv/', { destination: 'csv' }))
  expect(await summaryOf(s3, `${bucket}/results/csv`, 'csv')).toMatchObject(EXACTLY_ONCE)
})

test('the results link into the store, without credentials and for a while', async () => {
  const { data } = (await service.request('/api/v1/inference/batch?status=completed&destination=parquet')).body
  const path = `/api/v1/inference/batch/${data[0].job_id}/results`
  const [result] = (await service.request(path)).body.results
  expect(result.files.length).toBeGreaterThan(1)
  const directory = await mkdtemp(join(tmpdir(), 'scoreline-links-'))
  for (const file of result.files) {
    const response = await fetch(file.url)
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(file.sha256)
    await writeFile(join(directory, file.name), bytes)
    const left = Date.parse(file.expires_at) - Date.now()
    expect([left > 3_000_000, left <= 3_600_000]).toEqual([true, true])
  }
  const rows = await duckdb(`SELECT count(DISTINCT customer_id) AS n FROM '${directory}/*.parquet'`)
  expect(rows).toEqual([{ n: String(ROWS) }])
  await rm(directory, { recursive: true })

  const [first, second] = result.files
  const range = await fetch(first.url, { headers: { range: 'bytes=0-3' } })
  expect([range.status, await range.text()]).toEqual([206, 'PAR1'])
  // The signature holds for this object and time only.
  const tampered = [first.url.replace(first.name, second.name), first.url.replace('Expires=3600', 'Expires=7200')]
  for (const url of tampered) expect((await fetch(url)).status).toBe(403)
  const redirect = await fetch(new URL(`${path}/0/${first.name}`, service.url), { redirect: 'manual' })
  expect([redirect.status, redirect.headers.get('location')?.split('?')[0]]).toEqual([302, first.url.split('?')[0]])
})

test('a job that is cancelled leaves no object and no upload', async () => {
  const jobId = await submitTo(`s3://${bucket}/results/cancelled/`, { target_file_mb: 1 }, unhurried(ROWS, 2))
  await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
  await service.request(`/api/v1/inference/batch/${jobId}/cancel`, { method: 'POST' })
  await whenJob(service, jobId, 'cancelled', ({ status }) => status === 'cancelled')
  await expect.poll(() => names('results/cancelled/')).toEqual([])
  await expect.poll(() => openUploads(s3.client, bucket)).toEqual([])
})

describe('refused', () => {
  test.each([
    { path: 's3://elsewhere/results/', status: 400, code: 'path_not_allowed' },
    { path: 'BUCKET/results-of-others/', status: 400, code: 'path_not_allowed' },
    { path: 'BUCKET/results/../x/', status: 400, code: 'path_not_allowed' },
    { path: 'BUCKET/results/%2e%2e/x/', status: 400, code: 'path_not_allowed' },
    { path: 's3://no-such-bucket/x/', status: 400, code: 'bucket_not_found' },
  ])('$path: $code', async ({ path, status, code }) => {
    const output = { destination: 'parquet', path: path.replace('BUCKET', `s3://${bucket}`) }
    const answer = await service.request('/api/v1/inference/batch', { body: churnJob({ output }) })
    expect(answer).toMatchObject({ status, body: { code, errors: [{ pointer: '/output/path', code }] } })
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
  })

  test('a second result in mode error', async () => {
    const output = { destination: 'csv', path: 'once/', mode: 'error' }
    const job = churnJob({ output, query: 'SELECT * FROM customers WHERE customer_id < 10' })
    await completed(service, await submit(service, job))
    const answer = await service.request('/api/v1/inference/batch', { body: job })
    expect(answer).toMatchObject({ status: 409, body: { code: 'path_not_empty' } })
  })
})
