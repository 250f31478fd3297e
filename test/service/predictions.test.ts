import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { beforeAll, describe, expect, test } from 'vitest'
import { duckdb } from '../connectors/files/duckdb.ts'
import { CHURN_FEATURES, CUSTOMERS, churnJob, modelBytes, registerModel, run, seedCustomers } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { byKey, cells, expectFiles, float32, manifestOf, reader, sha256 } from './results.ts'

const ROWS = 20_000
const FEW_ROWS = 300
/** Few enough rows for a job of one row a chunk. */
const FEW = `${CUSTOMERS} WHERE customer_id <= ${FEW_ROWS}`
const NONE = `${CUSTOMERS} WHERE customer_id < 0`

let service: Service
/** `customer_id` → label and probabilities of the churn model over every row, in one run. */
let expected: Map<string, string>

beforeAll(async () => {
  service = await startService({ name: 'predictions' })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  expected = await churnDirectly()
})

describe('every prediction equals the model run directly', () => {
  test('table', async () => {
    const job = await run(service, churnJob())
    expect(job).toMatchObject({
      model_id: 'churn',
      model_version: 1,
      progress: { total_rows: ROWS, processed_rows: ROWS, written_rows: ROWS, failed_rows: 0 },
    })
    expectChurn(await service.query('SELECT * FROM predictions.churn_scores'))
    const columns = await service.query(
      `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
       WHERE attrelid = 'predictions.churn_scores'::regclass AND attnum > 0 ORDER BY attnum`,
    )
    expect(columns).toEqual([
      { name: 'customer_id', type: 'bigint' },
      { name: 'label', type: 'bigint' },
      { name: 'probabilities_0', type: 'real' },
      { name: 'probabilities_1', type: 'real' },
    ])
  })

  test.each(['parquet', 'csv'] as const)('%s, with a manifest that is right and _SUCCESS', async (destination) => {
    const job = await run(service, churnJob({ output: { destination, path: `churn-${destination}/` } }))
    const directory = join(service.outputDir, `churn-${destination}`)
    expectChurn(await duckdb(`SELECT * FROM ${reader(destination, directory)}`))

    const manifest = await manifestOf(directory)
    const [model] = (await service.request('/api/v1/models/churn')).body.versions
    expect(manifest).toMatchObject({
      job_id: job.job_id,
      attempt: 1,
      model: { id: 'churn', version: 1, sha256: model.sha256 },
      rows: ROWS,
      format: destination,
      schema: [
        { name: 'customer_id', type: 'int64' },
        { name: 'label', type: 'int64' },
        { name: 'probabilities_0', type: 'float32' },
        { name: 'probabilities_1', type: 'float32' },
      ],
    })
    await expectFiles(directory, manifest, destination)
    expect(existsSync(join(directory, '_scoreline'))).toBe(false)
  })
})

describe('models with one input per column', () => {
  beforeAll(async () => {
    await registerModel(service, 'per-column', 'per-column.onnx')
    await registerModel(service, 'booleans', 'booleans.onnx')
    await service.query(
      `CREATE TABLE visitors AS SELECT i AS id, (i * 37 % 20000) / 100.0::float8 AS amount, i % 30 AS visits,
         (ARRAY['basic', 'plus', 'pro', 'größer 🐎', ''])[1 + i % 5] AS plan, i % 3 = 0 AS active,
         (i % 100) / 100.0::float8 AS score
       FROM generate_series(1, 2500) i`,
    )
  })

  test.each(['table', 'parquet'] as const)('strings in and out, to %s', async (destination) => {
    const rows = await service.query<JsonObject>('SELECT * FROM visitors ORDER BY id')
    const outputs = await runDirectly('per-column.onnx', {
      amount: new Tensor(
        Float32Array.from(rows, ({ amount }) => amount),
        [rows.length, 1],
      ),
      visits: new Tensor(
        BigInt64Array.from(rows, ({ visits }) => BigInt(visits)),
        [rows.length, 1],
      ),
      plan: new Tensor(
        'string',
        rows.map(({ plan }) => plan),
        [rows.length, 1],
      ),
    })
    const labels = outputs.label?.data as unknown as string[]
    const probabilities = outputs.probabilities?.data as Float32Array
    expect(new Set(labels)).toEqual(new Set(['leave', 'stay']))

    const query = 'SELECT plan, visits, amount, id FROM visitors'
    const scored = await resultOf(destination, 'per_column', { query, model_id: 'per-column' })
    expect(byKey(scored, 'id', { label: String, probabilities_0: float32, probabilities_1: float32 })).toEqual(
      new Map(
        rows.map(({ id }, i) => [
          String(id),
          cells([labels[i], probabilities[i * 2] as number, probabilities[i * 2 + 1] as number]),
        ]),
      ),
    )
    expect(Object.keys(scored[0] as JsonObject)).toEqual(['id', 'label', 'probabilities_0', 'probabilities_1'])
  })

  test.each(['table', 'parquet'] as const)('booleans in and out, to %s', async (destination) => {
    const rows = await service.query<JsonObject>('SELECT * FROM visitors ORDER BY id')
    const outputs = await runDirectly('booleans.onnx', {
      active: new Tensor(
        'bool',
        rows.map(({ active }) => active),
        [rows.length, 1],
      ),
      score: new Tensor(
        Float64Array.from(rows, ({ score }) => score),
        [rows.length, 1],
      ),
    })
    const flagged = outputs.flagged?.data as Uint8Array
    const value = outputs.value?.data as Float64Array
    const scored = await resultOf(destination, 'booleans', {
      query: 'SELECT id, active, score FROM visitors',
      model_id: 'booleans',
    })
    expect(byKey(scored, 'id', { flagged: String, value: Number })).toEqual(
      new Map(rows.map(({ id }, i) => [String(id), cells([String(flagged[i] === 1), value[i]])])),
    )
    expect(scored.some((row) => row.flagged) && scored.some((row) => !row.flagged)).toBe(true)
  })
})

describe('output.columns', () => {
  const columns = ['probabilities_1', 'customer_id', 'tenure']

  test.each(['table', 'parquet', 'csv'] as const)(
    'only these, in this order, a feature among them: %s',
    async (destination) => {
      const scored = await resultOf(destination, 'chosen', { query: FEW }, { columns })
      expect(Object.keys(scored[0] as JsonObject)).toEqual(columns)
      const tenures = await service.query<{ id: string; tenure: number }>(
        'SELECT customer_id AS id, tenure FROM customers WHERE customer_id <= $1',
        [FEW_ROWS],
      )
      const got = byKey(scored, 'customer_id', { probabilities_1: float32, tenure: Number })
      expect(got).toEqual(
        new Map(tenures.map(({ id, tenure }) => [id, cells([JSON.parse(expected.get(id) as string)[2], tenure])])),
      )
    },
  )
})

describe('modes', () => {
  const FIRST = `${CUSTOMERS} WHERE customer_id <= 300`
  const SECOND = `${CUSTOMERS} WHERE customer_id BETWEEN 301 AND 700`

  test.each(['table', 'parquet', 'csv'] as const)('append twice gives both sets: %s', async (destination) => {
    for (const query of [FIRST, SECOND]) await runTo(destination, 'appended', { query }, { mode: 'append' })
    expectChurn(await readResult(destination, 'appended'), 700)
    if (destination === 'table') return
    const directory = join(service.outputDir, `appended-${destination}`)
    const manifest = await manifestOf(directory)
    expect(manifest.results.map(({ rows }: JsonObject) => rows)).toEqual([300, 400])
    await expectFiles(directory, manifest, destination)
  })

  test('upsert into a table: known keys are scored again, new ones come in; error writes a table once', async () => {
    const upsert = { mode: 'upsert', key_columns: ['customer_id'] }
    await runTo('table', 'upserted', { query: FIRST }, upsert)
    await service.query('UPDATE predictions.upserted SET label = -1')
    await runTo('table', 'upserted', { query: `${CUSTOMERS} WHERE customer_id <= 700` }, upsert)
    expectChurn(await readResult('table', 'upserted'), 700)
    await runTo('table', 'created', { query: FIRST }, { mode: 'error' })
    expectChurn(await readResult('table', 'created'), 300)
  })

  test('overwrite of a table keeps its view, grant, index and owner', async () => {
    await service.query('CREATE SCHEMA IF NOT EXISTS predictions')
    await service.query(
      `CREATE TABLE predictions.kept (customer_id bigint PRIMARY KEY, label bigint, probabilities_0 real, probabilities_1 real,
         scored_at timestamptz DEFAULT now())`,
    )
    await service.query('INSERT INTO predictions.kept VALUES (-1, 0, 0.5, 0.5)')
    await service.query('CREATE VIEW predictions.kept_view AS SELECT customer_id, label FROM predictions.kept')
    await service.query('CREATE INDEX kept_index ON predictions.kept (probabilities_1)')
    await service.query('CREATE ROLE kept_reader')
    try {
      await service.query('GRANT SELECT ON predictions.kept TO kept_reader')
      const before = await tableFacts('kept')
      await runTo('table', 'kept', { query: FIRST }, { mode: 'overwrite' })
      expectChurn(await service.query('SELECT * FROM predictions.kept'), 300)
      expect(await tableFacts('kept')).toEqual(before)
      expect(before.reads).toBe(true)
      expect(await service.query('SELECT count(*)::int AS rows FROM predictions.kept_view')).toEqual([{ rows: 300 }])
      // A column of the table's own that the output does not have gets its default.
      expect(await service.query('SELECT 1 FROM predictions.kept WHERE scored_at IS NULL')).toEqual([])

      await runTo('table', 'kept', { query: SECOND }, { mode: 'overwrite' })
      expect(
        await service.query('SELECT min(customer_id)::int AS low, count(*)::int AS rows FROM predictions.kept'),
      ).toEqual([{ low: 301, rows: 400 }])
    } finally {
      await service.query('REVOKE ALL ON predictions.kept FROM kept_reader; DROP ROLE kept_reader')
    }
  })

  test('overwrite of a Parquet result: the old files are gone, whatever else lies there stays', async () => {
    const directory = join(service.outputDir, 'replaced-parquet')
    await runTo('parquet', 'replaced', { query: `${CUSTOMERS} WHERE customer_id > 700`, config: { parallelism: 8 } })
    const before = await manifestOf(directory)
    await writeFile(join(directory, 'notes.txt'), 'of somebody else')
    await runTo('parquet', 'replaced', { query: FIRST, config: { parallelism: 2 } })
    const after = await manifestOf(directory)
    expectChurn(await readResult('parquet', 'replaced'), 300)
    expect(after.results).toHaveLength(1)
    await expectFiles(directory, after, 'parquet', ['notes.txt'])
    const names = new Set(await readdir(directory))
    expect(before.files.filter(({ name }: JsonObject) => names.has(name))).toEqual([])
  })
})

test('a model registered again with other bytes gets version 2, and model@1 uses version 1', async () => {
  const first = await registerModel(service, 'twice', 'linear.onnx', 'a,b,c')
  expect(await registerModel(service, 'twice', 'linear.onnx', 'a,b,c')).toEqual(first)
  const second = await registerModel(service, 'twice', 'churn.onnx', 'a,b,c')
  expect([first.version, second.version]).toEqual([1, 2])
  expect(second.sha256).toBe(sha256(await modelBytes('churn.onnx')))

  const query = 'SELECT i AS id, i::float8 AS a, (10 - i)::float8 AS b, 0.5::float8 AS c FROM generate_series(1, 50) i'
  const rows = await service.query<JsonObject>(query)
  const features = Float32Array.from(rows.flatMap(({ a, b, c }) => [a, b, c]))
  for (const [model_id, file, version] of [
    ['twice@1', 'linear.onnx', 1],
    ['twice@2', 'churn.onnx', 2],
    ['twice', 'churn.onnx', 2],
  ] as const) {
    const job = await runTo('table', 'versions', { query, model_id })
    expect([job.model_id, job.model_version]).toEqual(['twice', version])
    const session = await openDirectly(file)
    const outputs = await session.run({ [session.inputNames[0] as string]: new Tensor(features, [rows.length, 3]) })
    const probabilities = outputs.probabilities?.data as Float32Array
    const got = byKey(await readResult('table', 'versions'), 'id', { probabilities_1: float32 })
    expect(got).toEqual(new Map(rows.map(({ id }, i) => [String(id), cells([probabilities[i * 2 + 1] as number])])))
  }
})

test('batch size and parallelism change nothing in the rows', async () => {
  for (const [batch_size, parallelism] of [
    [1, 1],
    [1, 16],
    [7, 1],
    [7, 16],
    [100_000, 1],
    [100_000, 16],
  ]) {
    const name = `sized_${batch_size}_${parallelism}`
    const job = await runTo('table', name, { query: FEW, config: { batch_size, parallelism } })
    expect(job.progress).toMatchObject({ total_rows: FEW_ROWS, written_rows: FEW_ROWS, failed_rows: 0 })
    expectChurn(await readResult('table', name), FEW_ROWS)
  }
  await runTo('parquet', 'sized', { query: FEW, config: { batch_size: 7, parallelism: 16 } })
  expectChurn(await readResult('parquet', 'sized'), FEW_ROWS)
})

test.each(['table', 'parquet', 'csv'] as const)(
  'an empty result set completes with an empty, readable output: %s',
  async (destination) => {
    const job = await runTo(destination, 'empty', { query: NONE })
    expect(job.progress).toMatchObject({ total_rows: 0, processed_rows: 0, written_rows: 0, percentage: 100 })
    const names = ['customer_id', 'label', 'probabilities_0', 'probabilities_1']
    if (destination === 'table') {
      expect(
        await service.query('SELECT customer_id, label, probabilities_0, probabilities_1 FROM predictions.empty'),
      ).toEqual([])
      return
    }
    const directory = join(service.outputDir, `empty-${destination}`)
    expect(await readResult(destination, 'empty')).toEqual([])
    const columns = await duckdb(`DESCRIBE SELECT * FROM ${reader(destination, directory)}`)
    expect(columns.map(({ column_name }) => column_name)).toEqual(names)
    const manifest = await manifestOf(directory)
    expect(manifest.rows).toBe(0)
    await expectFiles(directory, manifest, destination)
  },
)

test('an empty result set empties a table that it overwrites, and adds nothing to one that it appends to', async () => {
  await runTo('table', 'emptied', { query: FEW })
  await runTo('table', 'emptied', { query: NONE }, { mode: 'append' })
  expectChurn(await readResult('table', 'emptied'), FEW_ROWS)
  await runTo('table', 'emptied', { query: NONE }, { mode: 'overwrite' })
  expect(await readResult('table', 'emptied')).toEqual([])
})

test('the query may be written as people write them: comments, a semicolon, CTEs, quoted names', async () => {
  const query = `-- the customers of this test
    WITH "Some" AS (SELECT * FROM customers WHERE customer_id <= ${FEW_ROWS})
    SELECT customer_id, tenure, monthly_charges, total_charges /* all of them */ FROM "Some" ORDER BY 1 DESC; -- the end`
  await runTo('table', '"Quoted Name"', { query })
  expectChurn(await service.query('SELECT * FROM predictions."Quoted Name"'), FEW_ROWS)
})

type Destination = 'table' | 'parquet' | 'csv'
type Parts = Parameters<typeof churnJob>[0]

/** Runs a job whose result is called `name`. */
function runTo(destination: Destination, name: string, parts: Parts, output: JsonObject = {}): Promise<JsonObject> {
  const target =
    destination === 'table'
      ? { destination, table_name: `predictions.${name}` }
      : { destination, path: `${name}-${destination}/` }
  return run(service, churnJob({ ...parts, output: { ...target, ...output } }))
}

function readResult(destination: Destination, name: string): Promise<JsonObject[]> {
  if (destination === 'table') return service.query(`SELECT * FROM predictions.${name}`)
  return duckdb(`SELECT * FROM ${reader(destination, join(service.outputDir, `${name}-${destination}`))}`)
}

async function resultOf(
  destination: Destination,
  name: string,
  parts: Parts,
  output?: JsonObject,
): Promise<JsonObject[]> {
  await runTo(destination, name, parts, output)
  return readResult(destination, name)
}

/** Compares rows of a churn job with the direct run: these must be customers 1 … rows, each once and equal. */
function expectChurn(rows: readonly JsonObject[], count = ROWS): void {
  const got = new Map(rows.map((row) => [String(row.customer_id), churnCells(row)]))
  expect([rows.length, got.size]).toEqual([count, count])
  const different: unknown[] = []
  for (let id = 1; id <= count; id++) {
    const key = String(id)
    if (got.get(key) !== expected.get(key)) different.push({ key, got: got.get(key), expected: expected.get(key) })
  }
  expect(different.slice(0, 10)).toEqual([])
}

function churnCells({ label, probabilities_0, probabilities_1 }: JsonObject): string {
  return cells([String(label), float32(probabilities_0), float32(probabilities_1)])
}

async function churnDirectly(): Promise<Map<string, string>> {
  const rows = await service.query<JsonObject>(`${CUSTOMERS} ORDER BY customer_id`)
  const features = Float32Array.from(
    rows.flatMap(({ tenure, monthly_charges, total_charges }) => [tenure, monthly_charges, total_charges]),
  )
  const session = await openDirectly('churn.onnx')
  const outputs = await session.run({ [session.inputNames[0] as string]: new Tensor(features, [rows.length, 3]) })
  const labels = outputs.label?.data as BigInt64Array
  const probabilities = outputs.probabilities?.data as Float32Array
  expect(new Set(labels).size).toBe(2)
  return new Map(
    rows.map(({ customer_id }, i) => [
      customer_id,
      churnCells({
        label: labels[i],
        probabilities_0: probabilities[i * 2],
        probabilities_1: probabilities[i * 2 + 1],
      }),
    ]),
  )
}

/** One thread, as in the scorer: the last digit of a sum over trees depends on how many share it. */
async function openDirectly(file: string): Promise<InferenceSession> {
  return InferenceSession.create(await modelBytes(file), { intraOpNumThreads: 1, logSeverityLevel: 4 })
}

async function runDirectly(file: string, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  return (await openDirectly(file)).run(feeds) as Promise<Record<string, Tensor>>
}

/** What an overwrite must not change. */
async function tableFacts(table: string): Promise<JsonObject> {
  const [facts] = await service.query(
    `SELECT c.oid, c.relowner, c.relacl::text AS grants, has_table_privilege('kept_reader', c.oid, 'SELECT') AS reads,
       (SELECT json_agg(indexrelid::regclass::text ORDER BY 1) FROM pg_index WHERE indrelid = c.oid AND indisvalid) AS indexes,
       (SELECT json_agg(conname ORDER BY 1) FROM pg_constraint WHERE conrelid = c.oid) AS constraints
     FROM pg_class c WHERE c.oid = 'predictions.${table}'::regclass`,
  )
  return facts as JsonObject
}
