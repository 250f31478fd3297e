// kill -9 of each role in the middle of a job, for each kind of destination: the job completes, and every key is there
// exactly once.
import { DuckDBInstance } from '@duckdb/node-api'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Role } from '../../topics/workers.ts'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  registerModel,
  seedCustomers,
  submit,
  unhurried,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

const ROWS = 300_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'crash', settings: { KAFKA_SESSION_TIMEOUT_MS: '3000' } })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

const DESTINATIONS = ['table', 'parquet', 'csv'] as const
const VICTIMS: Role[] = ['scorer', 'sink', 'reader', 'controller']

describe.each(DESTINATIONS)('%s', (destination) => {
  test.each(VICTIMS)('every key exactly once after kill -9 of the %s', async (victim) => {
    const name = `${destination}_${victim}`
    const output =
      destination === 'table' ? { destination, table_name: `predictions.${name}` } : { destination, path: `${name}/` }
    const jobId = await submit(service, churnJob({ query: unhurried(ROWS), output, config: { batch_size: 500 } }))
    await whenJob(service, jobId, 'in its middle', ({ progress }) => progress.processed_rows > ROWS / 10)
    await service.processes(victim)[0]?.kill('SIGKILL')
    const replacement = service.start(victim)
    const job = await completed(service, jobId)
    await replacement
    expect(job.progress).toMatchObject({ total_rows: ROWS, processed_rows: ROWS, written_rows: ROWS, failed_rows: 0 })
    // Only a reader's death costs an attempt.
    expect(job.attempt).toBe(victim === 'reader' ? 2 : 1)
    expect(await counts(destination, name)).toEqual({ rows: ROWS, keys: ROWS, lowest: 1, highest: ROWS })
  })
})

async function counts(destination: (typeof DESTINATIONS)[number], name: string): Promise<JsonObject> {
  const columns =
    'count(*)::int AS rows, count(DISTINCT customer_id)::int AS keys, min(customer_id)::int AS lowest, max(customer_id)::int AS highest'
  if (destination === 'table')
    return (await service.query(`SELECT ${columns} FROM predictions.${name}`))[0] as JsonObject
  const connection = await (await DuckDBInstance.create()).connect()
  const files = `${service.outputDir}/${name}/part-*.${destination}`
  const reader = destination === 'csv' ? `read_csv('${files}')` : `read_parquet('${files}')`
  const result = await connection.runAndReadAll(`SELECT ${columns} FROM ${reader}`)
  return result.getRowObjects()[0] as JsonObject
}
