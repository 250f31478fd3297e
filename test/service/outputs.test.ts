// Several outputs of one job: scored once, each with its own columns, offsets and progress; completed when all are.
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { duckdb } from '../connectors/files/duckdb.ts'
import {
  CHURN_FEATURES,
  churnJob,
  completed,
  failed,
  JOBS,
  registerModel,
  run,
  seedCustomers,
  statusOf,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

const ROWS = 60_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'outputs' })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

function job(name: string, outputs: readonly JsonObject[], config: JsonObject = {}): JsonObject {
  const { output: _, ...rest } = churnJob({ config })
  return { ...rest, output: { destination: 'table', table_name: `predictions.${name}` }, outputs }
}

const filesOf = (path: string, extension: string) => `'${join(service.outputDir, path)}/*.${extension}'`
const keysOf = async (relation: string) =>
  (await duckdb(`SELECT count(*) AS n, count(DISTINCT customer_id) AS keys FROM ${relation}`))[0]
const ALL = { n: String(ROWS), keys: String(ROWS) }

describe('a job with a table, Parquet, CSV and another table', () => {
  let finished: JsonObject
  beforeAll(async () => {
    finished = await run(
      service,
      job('first', [
        { destination: 'parquet', path: 'scores' },
        { destination: 'csv', path: 'labels', columns: ['label', 'tenure', 'customer_id'] },
        { destination: 'table', table_name: 'predictions.second', columns: ['customer_id', 'probabilities_1'] },
      ]),
    )
  })

  test('every output has every row, and its own columns in its own order', async () => {
    const [first] = await service.query(
      'SELECT count(*)::int AS n, count(DISTINCT customer_id)::int AS keys FROM predictions.first',
    )
    expect(first).toEqual({ n: ROWS, keys: ROWS })
    expect(await keysOf(filesOf('scores', 'parquet'))).toEqual(ALL)
    expect(await keysOf(filesOf('labels', 'csv'))).toEqual(ALL)
    const columns = await service.query(
      "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) AS names, table_name FROM information_schema.columns WHERE table_schema = 'predictions' GROUP BY table_name ORDER BY table_name",
    )
    expect(columns).toEqual([
      { table_name: 'first', names: 'customer_id,label,probabilities_0,probabilities_1' },
      { table_name: 'second', names: 'customer_id,probabilities_1' },
    ])
    const described = await duckdb(`DESCRIBE SELECT * FROM ${filesOf('labels', 'csv')}`)
    expect(described.map(({ column_name }) => column_name)).toEqual(['label', 'tenure', 'customer_id'])
  })

  test('the results say how to get each; a file that is downloaded is the file, also in parts', async () => {
    const path = `${JOBS}/${finished.job_id}/results`
    const { status, body } = await service.request(path)
    expect([status, body.job_id]).toEqual([200, finished.job_id])
    const [table, parquet, csv, second] = body.results
    expect(table).toEqual({
      destination: 'table',
      location: 'predictions.first',
      rows: ROWS,
      bytes: expect.any(Number),
      connection: 'warehouse',
      query: expect.any(String),
    })
    expect(await service.query(`SELECT count(*)::int AS n FROM (${second.query}) q`)).toEqual([{ n: ROWS }])
    expect(parquet).toMatchObject({ destination: 'parquet', format: 'parquet', rows: ROWS })
    expect(csv.schema.map(({ name }: JsonObject) => name)).toEqual(['label', 'tenure', 'customer_id'])

    const directory = await mkdtemp(join(tmpdir(), 'scoreline-downloads-'))
    for (const file of [...parquet.files, ...csv.files] as JsonObject[]) {
      const response = await fetch(new URL(file.url, service.url))
      const bytes = Buffer.from(await response.arrayBuffer())
      expect([response.status, bytes.length]).toEqual([200, file.bytes])
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(file.sha256)
      await writeFile(join(directory, file.name), bytes)
    }
    expect(await keysOf(`'${directory}/*.parquet'`)).toEqual(ALL)
    const [first] = parquet.files
    const part = await fetch(new URL(first.url, service.url), { headers: { range: 'bytes=0-3' } })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      `bytes 0-3/${first.bytes}`,
      'PAR1',
    ])
    await rm(directory, { recursive: true })
  })

  test('nothing but the files of the manifest can be downloaded', async () => {
    const path = `${JOBS}/${finished.job_id}/results`
    const stranger = join(service.outputDir, 'scores', 'other.parquet')
    await writeFile(stranger, 'not of this job')
    for (const name of [
      '1/other.parquet',
      '1/_manifest.json',
      '1/_SUCCESS',
      '1/..%2flabels%2f_manifest.json',
      '1/..%2f..%2f..%2fmodels',
      '1/%2e%2e',
      '1/%2fetc%2fpasswd',
      '0/first',
      '7/other.parquet',
      'x/other.parquet',
    ])
      expect([name, (await service.request(`${path}/${name}`)).status]).toEqual([name, 404])
    // A link that somebody puts in the place of a file leads nowhere.
    const [file] = (await service.request(path)).body.results[1].files
    const real = join(service.outputDir, 'scores', file.name)
    await rename(real, `${real}.kept`)
    await symlink('/etc/passwd', real)
    expect((await service.request(file.url)).status).toBe(404)
    await rm(real)
    await rename(`${real}.kept`, real)
    await rm(stranger)
  })

  test('the outputs agree with each other, row by row', async () => {
    const rows = await service.query<{ customer_id: string; label: string; a: number; b: number }>(
      `SELECT customer_id, label, first.probabilities_1 AS a, second.probabilities_1 AS b
       FROM predictions.first JOIN predictions.second USING (customer_id) ORDER BY customer_id`,
    )
    expect(rows.every(({ a, b }) => a === b)).toBe(true)
    const inFiles = await duckdb(
      `SELECT customer_id, p.label, c.label AS csv_label FROM ${filesOf('scores', 'parquet')} p
       JOIN ${filesOf('labels', 'csv')} c USING (customer_id) ORDER BY customer_id`,
    )
    expect(inFiles).toHaveLength(ROWS)
    expect(inFiles).toEqual(rows.map(({ customer_id, label }) => ({ customer_id, label, csv_label: label })))
  })

  test('the status tells of each', () => {
    expect(finished.output).toMatchObject({ destination: 'table', table_name: 'predictions.first' })
    expect(finished.progress.written_rows).toBe(ROWS)
    expect(finished.outputs).toMatchObject([
      { output: { table_name: 'predictions.first' }, written_rows: ROWS, result: { rows: ROWS } },
      { output: { path: 'scores' }, written_rows: ROWS, result: { location: `file://${service.outputDir}/scores/` } },
      { output: { path: 'labels' }, written_rows: ROWS, result: { location: `file://${service.outputDir}/labels/` } },
      { output: { table_name: 'predictions.second' }, written_rows: ROWS, result: { rows: ROWS } },
    ])
  })
})

test('an output of the model by its own name is one list, with the values of its columns', async () => {
  const columns = ['customer_id', 'label', 'probabilities']
  await run(
    service,
    job('lists', [
      { destination: 'table', table_name: 'predictions.list', columns: [...columns, 'probabilities_1'] },
      { destination: 'parquet', path: 'list', columns },
      { destination: 'csv', path: 'list-csv', columns },
    ]),
  )
  const [table] = await service.query(
    `SELECT count(*)::int AS n, count(DISTINCT customer_id)::int AS keys, min(pg_typeof(probabilities)::text) AS type,
       bool_and(probabilities = ARRAY[probabilities_0, l.probabilities_1] AND s.probabilities_1 = l.probabilities_1) AS same
     FROM predictions.list l JOIN predictions.lists s USING (customer_id, label)`,
  )
  expect(table).toEqual({ n: ROWS, keys: ROWS, type: 'real[]', same: true })

  const lists = await service.query(
    'SELECT customer_id, label, probabilities::float8[] AS probabilities FROM predictions.list ORDER BY customer_id',
  )
  const cast = 'SELECT customer_id, label, probabilities::FLOAT[] AS probabilities FROM'
  expect(await duckdb(`${cast} ${filesOf('list', 'parquet')} ORDER BY customer_id`)).toEqual(lists)
  expect(await duckdb(`${cast} ${filesOf('list-csv', 'csv')} ORDER BY customer_id`)).toEqual(lists)
  for (const directory of ['list', 'list-csv']) {
    const manifest = JSON.parse(await readFile(join(service.outputDir, directory, '_manifest.json'), 'utf8'))
    expect(manifest.schema.at(-1)).toEqual({ name: 'probabilities', type: 'list<float32>' })
  }
})

test('kill -9 of the sink in the middle: every key once in every output', async () => {
  const jobId = await submit(
    service,
    job('killed', [
      { destination: 'parquet', path: 'killed-parquet' },
      { destination: 'csv', path: 'killed-csv' },
    ]),
  )
  await whenJob(service, jobId, 'half-way', ({ progress }) => progress.processed_rows > ROWS / 4)
  for (const sink of service.processes('sink')) await sink.kill('SIGKILL')
  await service.start('sink')
  await completed(service, jobId)
  const [table] = await service.query(
    'SELECT count(*)::int AS n, count(DISTINCT customer_id)::int AS keys FROM predictions.killed',
  )
  expect(table).toEqual({ n: ROWS, keys: ROWS })
  expect(await keysOf(filesOf('killed-parquet', 'parquet'))).toEqual(ALL)
  expect(await keysOf(filesOf('killed-csv', 'csv'))).toEqual(ALL)
})

test('a destination that stands still does not hold back the others; the job waits for it', async () => {
  const blocker = await service.connect()
  await blocker.query('BEGIN')
  await blocker.query('LOCK TABLE scoreline_sink.ledger IN ACCESS EXCLUSIVE MODE')
  const jobId = await submit(service, job('late', [{ destination: 'parquet', path: 'early' }]))
  const half = await whenJob(service, jobId, 'written to files', ({ outputs }) => outputs[1].written_rows === ROWS)
  expect(half).toMatchObject({ status: 'running', progress: { written_rows: 0 }, outputs: [{ written_rows: 0 }, {}] })
  await blocker.query('ROLLBACK')
  await blocker.end()
  await completed(service, jobId)
  expect(await keysOf(filesOf('early', 'parquet'))).toEqual(ALL)
})

test('when one output is refused, nothing starts, and the answer says which', async () => {
  const { status, body } = await service.request('/api/v1/inference/batch', {
    body: job('refused', [
      { destination: 'parquet', path: '../outside' },
      { destination: 'csv', path: 'fine', columns: ['nothing'] },
    ]),
  })
  expect(status).toBe(400)
  expect(body.errors).toMatchObject([
    { code: 'column_unknown', pointer: '/outputs/1/columns' },
    { code: 'path_not_allowed', pointer: '/outputs/0/path' },
  ])
})

test('when one output cannot be finished, the job fails and says what is visible already', async () => {
  await service.query('CREATE TABLE predictions.doomed (customer_id bigint)')
  await service.query('DROP TABLE predictions.doomed')
  // Nothing can be written, and so the job not be finished, before the view is there.
  const blocker = await service.connect()
  await blocker.query('BEGIN; LOCK TABLE scoreline_sink.ledger IN ACCESS EXCLUSIVE MODE')
  const jobId = await submit(
    service,
    job('kept', [{ destination: 'table', table_name: 'predictions.doomed', columns: ['customer_id'] }]),
  )
  await whenJob(service, jobId, 'running', ({ status }) => status === 'running')
  await service.query('CREATE VIEW predictions.doomed AS SELECT 1 AS customer_id')
  await blocker.end()
  const job_ = await failed(service, jobId)
  expect(job_.error.message).toContain('Already visible')
  expect((await statusOf(service, jobId)).error.message).toContain('predictions.kept')
  expect(await service.query('SELECT count(*)::int AS n FROM predictions.kept')).toEqual([{ n: ROWS }])
})

test('no results before the end of a job, of one that failed, or that another has replaced', async () => {
  const resultsOf = (jobId: string) => service.request(`${JOBS}/${jobId}/results`)
  const into = (query?: string) =>
    churnJob({ output: { destination: 'csv', path: 'replaced' }, ...(query ? { query } : {}) })
  const first = await submit(service, into())
  expect(await resultsOf(first)).toMatchObject({ status: 409, body: { code: 'job_not_completed' } })
  await completed(service, first)
  expect((await resultsOf(first)).status).toBe(200)
  await run(service, into('SELECT * FROM customers WHERE customer_id <= 10'))
  expect(await resultsOf(first)).toMatchObject({ status: 410, body: { code: 'result_gone' } })
  const broken = await submit(
    service,
    into(
      'SELECT 1 / (customer_id - 4) AS tenure, * FROM (SELECT customer_id, monthly_charges, total_charges FROM customers) c',
    ),
  )
  await failed(service, broken)
  expect(await resultsOf(broken)).toMatchObject({ status: 409, body: { detail: expect.stringContaining('no result') } })
})
