// Everything that a request can have wrong is refused before anything starts: as application/problem+json with a stable
// code, a pointer to the field and what to do about it.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { OWN_SCHEMA } from '../../connectors/postgres/identifiers.ts'
import { CHURN_FEATURES, CUSTOMERS, churnJob, modelBytes, registerModel, run, seedCustomers } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { identityModel } from '../model/onnx-writer.ts'

const JOBS = '/api/v1/inference/batch'
const MAX_ROWS = 1000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'bad-input', settings: { BATCH_MAX_INPUT_ROWS: String(MAX_ROWS) } })
  await seedCustomers(service, MAX_ROWS + 1, 'many_customers')
  await service.query(`CREATE VIEW customers AS SELECT * FROM many_customers WHERE customer_id <= ${MAX_ROWS}`)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  await registerModel(service, 'per-column', 'per-column.onnx')
  await service.query('CREATE SCHEMA predictions')
  mkdirSync(service.outputDir, { recursive: true })
})

/** Jobs that a test has told of. */
const known = new Set<string>()

afterEach(async () => {
  const { body } = await service.request(JOBS)
  const started = body.data.filter(({ job_id }: JsonObject) => !known.has(job_id))
  for (const { job_id } of started) known.add(job_id)
  expect(started, 'nothing may have been started').toEqual([])
})

interface Refusal {
  readonly status?: number
  readonly code: string
  /** Of the only fault; null: the request as a whole is at fault, and no field. */
  readonly pointer: string | null
  /** What the detail must say. */
  readonly says?: RegExp
}

type Answer = Awaited<ReturnType<Service['request']>>

function expectRefusal({ status, body, headers }: Answer, expected: Refusal): void {
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(body, JSON.stringify(body)).toMatchObject({
    type: `urn:scoreline:problem:${expected.code}`,
    title: expect.stringMatching(/^[A-Z]/),
    status: expected.status ?? 400,
    code: expected.code,
    detail: expect.stringMatching(expected.says ?? /.{15}/),
  })
  expect(status).toBe(expected.status ?? 400)
  if (expected.pointer === null) expect(body.errors).toBeUndefined()
  else expect(body.errors).toEqual([{ pointer: expected.pointer, code: expected.code, detail: body.detail }])
}

async function refused(job: unknown, expected: Refusal): Promise<void> {
  expectRefusal(await service.request(JOBS, { body: job }), expected)
}

/** A job that would be accepted, with fields replaced; a field that is undefined is left out. */
function jobWith(parts: {
  input?: JsonObject
  output?: JsonObject
  config?: JsonObject
  model_id?: unknown
}): JsonObject {
  const good = churnJob()
  return {
    model_id: 'model_id' in parts ? parts.model_id : good.model_id,
    input: { ...good.input, ...parts.input },
    output: { ...good.output, ...parts.output },
    config: { ...good.config, ...parts.config },
  }
}

const query = (text: string): JsonObject => jobWith({ input: { query: text } })
const file = (path: unknown, more: JsonObject = {}): JsonObject =>
  jobWith({ output: { destination: 'parquet', table_name: undefined, path, ...more } })
const table = (table_name: unknown, more: JsonObject = {}): JsonObject => jobWith({ output: { table_name, ...more } })

describe('the query', () => {
  const QUERY = { pointer: '/input/query' }

  test.each([
    ['DELETE FROM customers', /DELETE/],
    ['UPDATE customers SET tenure = 1', /UPDATE/],
    ['INSERT INTO customers VALUES (1, 2, 3, 4)', /INSERT/],
    ['DROP TABLE many_customers', /DROP/],
    ['TRUNCATE many_customers', /TRUNCATE/],
    ['CREATE TABLE copied AS SELECT * FROM customers', /CREATE TABLE AS/],
    ['EXPLAIN ANALYZE SELECT * FROM customers', /EXPLAIN/],
    ["COPY customers TO PROGRAM 'cat'", /COPY/],
    ['SELECT * INTO copied FROM customers', /INTO/],
    ['SELECT * FROM many_customers FOR UPDATE', /FOR UPDATE/],
    ['WITH gone AS (DELETE FROM many_customers RETURNING *) SELECT * FROM gone', /DELETE/],
  ])('not a SELECT: %s', async (text, says) => {
    await refused(query(text), { ...QUERY, code: 'sql_not_select', says })
    expect(await service.query('SELECT count(*)::int AS rows FROM many_customers')).toEqual([{ rows: MAX_ROWS + 1 }])
  })

  test.each([
    ['two statements', `${CUSTOMERS}; DROP TABLE many_customers`, 'sql_multiple_statements', /got 2/],
    ['two SELECTs', `${CUSTOMERS};\n${CUSTOMERS};`, 'sql_multiple_statements', /got 2/],
    ['a syntax error', 'SELECT customer_id\nFORM customers', 'sql_syntax', /line 2, column 6/],
    ['text after a parenthesis', `${CUSTOMERS}) TO STDOUT --`, 'sql_syntax', /syntax error/],
    ['nothing but space', '  \n ', 'sql_empty', /got an empty text/],
    ['nothing but a comment', '-- SELECT 1', 'sql_empty', /only comments/],
    ['a parameter', `${CUSTOMERS} WHERE customer_id = $1`, 'sql_parameter', /\$1/],
    ['an unknown column', 'SELECT customer_id,\n  tenur FROM customers', 'column_not_found', /tenur.*line 2, column 3/],
    ['an unknown table', 'SELECT * FROM custmers', 'table_not_found', /custmers/],
    ['an unknown schema', 'SELECT * FROM nowhere.customers', 'table_not_found', /nowhere/],
    ['an unknown function', 'SELECT frobnicate(tenure) FROM customers', 'function_not_found', /frobnicate/],
    [
      'operands that do not fit',
      "SELECT tenure + '1 day'::interval AS tenure FROM customers",
      'function_not_found',
      /operator/,
    ],
    ['a constant that fails', 'SELECT 1/0 AS tenure', 'sql_invalid', /division by zero/],
    ['a column twice', 'SELECT *, tenure FROM customers', 'duplicate_column', /tenure.*alias/],
    [
      'a column without a name',
      'SELECT tenure, tenure + 1 FROM customers',
      'duplicate_column',
      /column 2 has no name.*alias/,
    ],
    [
      'a type that cannot be read',
      `SELECT *, '1 day'::interval AS wait FROM customers`,
      'unsupported_column_type',
      /wait.*interval.*wait::text/,
    ],
    ['an array', 'SELECT *, ARRAY[1, 2] AS list FROM customers', 'unsupported_column_type', /list.*integer\[\]/],
    ['a column named like a prediction', 'SELECT *, 1 AS label FROM customers', 'column_conflict', /label.*rename/],
  ])('%s', (_what, text, code, says) => refused(query(text), { ...QUERY, code, says }))

  test('a missing feature column: what the model wants, what the query gives', () =>
    refused(query('SELECT customer_id, tenure, total_charges AS total FROM customers'), {
      ...QUERY,
      code: 'columns_mismatch',
      says: /takes tenure: float32, monthly_charges: float32, total_charges: float32; the query gives customer_id: bigint, tenure: integer, total: double precision\. Missing: monthly_charges, total_charges/,
    }))

  test('feature columns of wrong types: which, and how to cast them', () =>
    refused(query('SELECT tenure::text, monthly_charges > 50 AS monthly_charges, total_charges FROM customers'), {
      ...QUERY,
      code: 'columns_mismatch',
      says: /Wrong type: tenure: text cannot feed float32 \(cast it: tenure::real\), monthly_charges: boolean cannot/,
    }))

  test('a number where the model takes a text', () =>
    refused(
      { ...query('SELECT 1::real AS amount, 2 AS visits, 3 AS plan'), model_id: 'per-column' },
      {
        ...QUERY,
        code: 'columns_mismatch',
        says: /plan: integer cannot feed string.*plan::text/,
      },
    ))

  test('too many rows', () =>
    refused(query('SELECT * FROM many_customers'), {
      ...QUERY,
      code: 'too_many_rows',
      says: new RegExp(`gives ${MAX_ROWS + 1} rows and BATCH_MAX_INPUT_ROWS allows ${MAX_ROWS}`),
    }))

  test('a query that fails when its rows are counted', () =>
    refused(query(`${CUSTOMERS} WHERE 1 / (customer_id - 500) >= 0`), {
      ...QUERY,
      code: 'query_failed',
      says: /division by zero/,
    }))

  test('a query of more than 100,000 characters', () =>
    refused(query(`${CUSTOMERS} -- ${'x'.repeat(100_000)}`), { ...QUERY, code: 'invalid', says: /100000/ }))

  test.each([
    [
      'an unknown connection',
      { connection: 'lakehouse' },
      '/input/connection',
      'unknown_connection',
      /warehouse.*"lakehouse"/,
    ],
    [
      'a name of every object as connection',
      { connection: 'constructor' },
      '/input/connection',
      'unknown_connection',
      /got/,
    ],
    [
      'a key_column that the query has not',
      { key_column: 'id' },
      '/input/key_column',
      'column_not_found',
      /customer_id.*"id"/,
    ],
    ['an unknown source', { source: 'mongodb' }, '/input/source', 'invalid', /sql.*mongodb/],
    ['no query', { query: undefined }, '/input/query', 'required', /query is missing/],
    ['an empty query', { query: '' }, '/input/query', 'invalid', /got ""/],
    ['a number as query', { query: 7 }, '/input/query', 'invalid', /string.*7/],
  ])('%s', (_what, input, pointer, code, says) => refused(jobWith({ input }), { code, pointer, says }))
})

describe('the model', () => {
  test.each([
    ['churm', 'model_not_found', /churm is not registered.*PUT/],
    ['churn@2', 'model_not_found', /churn@2/],
    ['churn@999999999', 'model_not_found', /churn@999999999/],
    ['churn@0', 'invalid', /id@version/],
    ['churn@', 'invalid', /id@version/],
    ['churn@latest', 'invalid', /id@version/],
    ['churn@1@1', 'invalid', /id@version/],
    ['@1', 'invalid', /id@version/],
    ['', 'invalid', /got ""/],
    [undefined, 'required', /model_id is missing/],
    [5, 'invalid', /string/],
  ])('model_id %j', (model_id, code, says) => refused(jobWith({ model_id }), { code, pointer: '/model_id', says }))
})

describe('the output', () => {
  test.each([
    [
      'an unknown destination',
      { destination: 'bigquery' },
      '/output/destination',
      'invalid',
      /table, parquet, csv.*bigquery/,
    ],
    ['no destination', { destination: undefined }, '/output/destination', 'required', /missing/],
    ['an unknown mode', { mode: 'replace' }, '/output/mode', 'invalid', /overwrite, append.*replace/],
    ['upsert without a key', { mode: 'upsert' }, '/output/key_columns', 'key_required', /input\.key_column/],
    [
      'key_columns that the output has not',
      { mode: 'upsert', key_columns: ['customer'] },
      '/output/key_columns',
      'column_unknown',
      /customer; there are customer_id/,
    ],
    ['an unknown connection', { connection: 'lakehouse' }, '/output/connection', 'unknown_connection', /lakehouse/],
    ['no table_name', { table_name: undefined }, '/output/table_name', 'required', /needs table_name/],
    ['a path for a table', { path: 'here/' }, '/output/path', 'unknown_field', /does not belong/],
    [
      'an unknown column',
      { columns: ['customer_id', 'score'] },
      '/output/columns',
      'column_unknown',
      /score; there are .*label/,
    ],
    ['a column twice', { columns: ['label', 'label'] }, '/output/columns', 'column_conflict', /label/],
    ['no columns', { columns: [] }, '/output/columns', 'invalid', /got \[\]/],
  ])('%s', (_what, output, pointer, code, says) => refused(jobWith({ output }), { code, pointer, says }))

  test('Kafka, which is not there yet', () =>
    refused(jobWith({ output: { destination: 'kafka', table_name: undefined, topic: 'scores' } }), {
      code: 'destination_not_supported',
      pointer: '/output/destination',
      says: /kafka is not available here; use table, parquet or csv/,
    }))

  test.each([
    'pg_catalog.scores',
    'PG_Catalog.scores',
    '"pg_toast".scores',
    'information_schema.scores',
    `${OWN_SCHEMA}.results`,
  ])('a schema that is taken: %s', (name) =>
    refused(table(name), { code: 'table_name_reserved', pointer: '/output/table_name', says: /choose another/ }),
  )

  test.each([
    'a.b.c',
    'two words',
    'predictions.',
    '.scores',
    '1st',
    '"open',
    'x; DROP TABLE customers',
    'x'.repeat(64),
  ])('no name of a table: %s', (name) =>
    refused(table(name), { code: 'table_name_invalid', pointer: '/output/table_name' }),
  )

  test('an existing table with other columns, which stays as it is', async () => {
    await service.query('CREATE TABLE predictions.other (customer_id bigint, label text[], note text NOT NULL)')
    await service.query("INSERT INTO predictions.other VALUES (1, '{a}', 'kept')")
    for (const mode of ['overwrite', 'append'])
      await refused(table('predictions.other', { mode }), {
        code: 'column_mismatch',
        pointer: '/output/table_name',
        says: /label is text\[\] .*bigint.*probabilities_0 \(real\) is missing.*note \(text\) is NOT NULL/,
      })
    expect(await service.query('SELECT note FROM predictions.other')).toEqual([{ note: 'kept' }])
  })

  test('mode error and a table that is there; upsert and a table without a unique index', async () => {
    await service.query(
      'CREATE TABLE predictions.there (customer_id bigint, label bigint, probabilities_0 real, probabilities_1 real)',
    )
    await refused(table('predictions.there', { mode: 'error' }), {
      code: 'table_exists',
      pointer: '/output/table_name',
      says: /predictions.there exists/,
    })
    await refused(table('predictions.there', { mode: 'upsert', key_columns: ['customer_id'] }), {
      code: 'key_not_unique',
      pointer: '/output/key_columns',
      says: /CREATE UNIQUE INDEX ON "predictions"."there" \("customer_id"\)/,
    })
  })

  test('a view in the table’s place', async () => {
    await service.query('CREATE VIEW predictions.seen AS SELECT 1 AS customer_id')
    await refused(table('predictions.seen'), { code: 'not_a_table', pointer: '/output/table_name', says: /view/ })
  })

  test('overwriting the table that the query reads, or one that others refer to', async () => {
    await service.query(
      `CREATE TABLE predictions.read (customer_id bigint PRIMARY KEY, tenure int, monthly_charges float8, total_charges float8,
         label bigint, probabilities_0 real, probabilities_1 real);
       CREATE TABLE predictions.referring (customer_id bigint REFERENCES predictions.read ON DELETE CASCADE)`,
    )
    const job = jobWith({
      input: { query: 'SELECT customer_id, tenure, monthly_charges, total_charges FROM predictions.read' },
      output: { table_name: 'predictions.read' },
    })
    const { body } = await service.request(JOBS, { body: job })
    expect(body).toMatchObject({ status: 400, code: 'invalid_request' })
    expect(body.errors).toMatchObject([
      { code: 'table_referenced', pointer: '/output/table_name', detail: expect.stringContaining('referring') },
      { code: 'output_is_source', pointer: '/output/table_name' },
    ])
  })

  describe('path', () => {
    test.each([
      ['absolute', '/etc/scoreline/'],
      ['beside the root', `${tmpdir()}/`],
      ['a file URL elsewhere', 'file:///etc/scoreline/'],
      ['a file URL of another host', 'file://elsewhere/share/'],
      ['..', '../beside/'],
      ['.. in the middle', 'inside/../../beside/'],
      ['.. that would stay inside', 'inside/../other/'],
      ['%2e%2e', '%2e%2e/beside/'],
      ['%2E%2E in the middle', 'inside/%2E%2E/%2e./beside/'],
      ['%252e', '%252e%252e/beside/'],
      ['%2f', 'inside%2f..%2f..%2fbeside'],
      ['a backslash', 'inside\\..\\..\\beside'],
      ['a zero character', 'inside\0/'],
      ['a line break', 'inside\n/'],
      ['another scheme', 'https://example.com/'],
      ['the service’s own directory', '_scoreline/jobs/'],
    ])('outside of the allowed roots: %s', async (_what, path) => {
      for (const destination of ['parquet', 'csv'])
        await refused(file(path, { destination }), {
          code: 'path_not_allowed',
          pointer: '/output/path',
          says: /Allowed roots: file:\/\//,
        })
    })

    test('a file URL that leaves the root by an encoded dot', () =>
      refused(file(`${pathToFileURL(service.outputDir).href}/%2e%2e/beside/`), {
        code: 'path_not_allowed',
        pointer: '/output/path',
      }))

    test('a symbolic link that leaves the root, to a directory or to nowhere', async () => {
      symlinkSync(tmpdir(), join(service.outputDir, 'link'))
      symlinkSync(join(tmpdir(), 'not-there-at-all'), join(service.outputDir, 'dangling'))
      for (const path of ['link/', 'link/deeper/', 'dangling/', 'dangling/deeper/'])
        await refused(file(path), { code: 'path_not_allowed', pointer: '/output/path' })
      expect(existsSync(join(tmpdir(), 'not-there-at-all'))).toBe(false)
    })

    test('a file in the directory’s place', async () => {
      writeFileSync(join(service.outputDir, 'a-file'), '')
      await refused(file('a-file/'), { code: 'path_not_a_directory', pointer: '/output/path' })
      await refused(file('a-file/deeper/'), { code: 'path_not_a_directory', pointer: '/output/path' })
    })

    test.each([
      ['no path', undefined, 'required', /needs path/],
      ['an empty path', '', 'invalid', /got ""/],
      ['a blank path', '  ', 'path_required', /directory/],
      ['S3, which is not there yet', 's3://bucket/prefix/', 'store_not_supported', /S3.*not supported yet/],
    ])('%s', (_what, path, code, says) => refused(file(path), { code, pointer: '/output/path', says }))

    test('upsert into files', () =>
      refused(file('inside/', { mode: 'upsert' }), { code: 'mode_not_supported', pointer: '/output/mode' }))

    test('a table_name for files', () =>
      refused(file('inside/', { table_name: 'scores' }), { code: 'unknown_field', pointer: '/output/table_name' }))
  })
})

describe('the config', () => {
  test.each([
    ['batch_size', [0, -1, 100_001, 1e15, 1.5, '1000', null, true]],
    ['parallelism', [0, -4, 17, 1e9, 2.5, '4', null]],
    ['timeout_minutes', [0, -1, 10_081, '60']],
    ['retry_count', [-1, 101, 0.5]],
    ['max_memory_gb', [0, -16, 1025]],
    ['max_failed_rows', [-1, 0.5, 1e12]],
    ['accelerator', ['tpu', 1]],
  ])('%s', async (name, values) => {
    for (const value of values)
      await refused(jobWith({ config: { [name]: value } }), {
        code: 'invalid',
        pointer: `/config/${name}`,
        says: new RegExp(`; got ${JSON.stringify(value).replace('+', '\\+')}$`),
      })
  })
})

describe('the request', () => {
  test.each([
    ['/modelid', { modelid: 'churn' }],
    ['/input/tables', { input: { ...churnJob().input, tables: [] } }],
    ['/output/table', { output: { ...churnJob().output, table: 'scores' } }],
    ['/config/batchsize', { config: { batchsize: 5 } }],
    ['/~1~0', { '/~': 1 }],
  ])('an unknown field: %s', (pointer, parts) =>
    refused({ ...churnJob(), ...parts }, { code: 'unknown_field', pointer, says: /no field of this object/ }),
  )

  test.each([
    ['/input', 'input', 'required'],
    ['/output', 'output', 'required'],
  ])('without %s', async (pointer, name, code) => {
    const { [name]: _left, ...job } = churnJob()
    await refused(job, { code, pointer })
  })

  test.each([[null], [[]], ['text'], [7]])('a body that is no object: %j', (body) =>
    refused(body, { code: 'invalid', pointer: '' }),
  )

  test('all faults are named at once', async () => {
    const { status, body, headers } = await service.request(JOBS, {
      body: {
        model_id: 7,
        input: { source: 'sql', query: CUSTOMERS, where: '1 = 1' },
        output: { destination: 'table', table_name: 'scores', mode: 'replace' },
        config: { batch_size: 0, parallelism: 99 },
        note: '',
      },
    })
    expect([status, body.code]).toEqual([400, 'invalid_request'])
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(body.errors.map(({ pointer, code }: JsonObject) => `${pointer} ${code}`).sort()).toEqual([
      '/config/batch_size invalid',
      '/config/parallelism invalid',
      '/input/where unknown_field',
      '/model_id invalid',
      '/note unknown_field',
      '/output/mode invalid',
    ])
  })

  test('faults that only the world can tell are named at once, too', async () => {
    const { body } = await service.request(JOBS, {
      body: jobWith({
        model_id: 'churm',
        input: { query: 'SELECT * FROM nowhere' },
      }),
    })
    expect(body.errors.map(({ pointer, code }: JsonObject) => `${pointer} ${code}`)).toEqual([
      '/model_id model_not_found',
      '/input/query table_not_found',
    ])
  })

  const raw = (body: string | Uint8Array, type?: string): Promise<Answer> =>
    service.request(JOBS, { body: Buffer.from(body), headers: type === undefined ? {} : { 'content-type': type } })

  test.each(['', '{"model_id": ', '{"model_id": "churn",}', 'model_id=churn', '\u0000', '{} {}'])(
    'malformed JSON: %j',
    async (body) =>
      expectRefusal(await raw(body, 'application/json'), {
        code: body === '' ? 'ctp_empty_json_body' : 'ctp_invalid_json_body',
        pointer: null,
        says: /JSON/i,
      }),
  )

  test.each([
    'text/plain',
    'application/xml',
    'application/octet-stream',
    'application/x-www-form-urlencoded',
    'nonsense',
  ])('content type %s', async (type) =>
    expectRefusal(await raw(JSON.stringify(churnJob()), type), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
      says: /media type/i,
    }),
  )

  test('no content type', async () =>
    expectRefusal(await raw(JSON.stringify(churnJob())), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
    }))

  test('a body of more than a megabyte', async () =>
    expectRefusal(await raw(JSON.stringify({ ...churnJob(), note: 'x'.repeat(2 ** 20) }), 'application/json'), {
      status: 413,
      code: 'ctp_body_too_large',
      pointer: null,
    }))

  test('a key that would change what objects are', () =>
    raw(`{"__proto__": {"model_id": "churn"}, ${JSON.stringify(churnJob()).slice(1)}`, 'application/json').then(
      (answer) => expectRefusal(answer, { code: 'ctp_invalid_json_body', pointer: null }),
    ))

  test.each([
    ['', 'empty'],
    ['k'.repeat(256), 'too long'],
  ])('an Idempotency-Key that is %#', async (key) => {
    expectRefusal(await service.request(JOBS, { body: churnJob(), headers: { 'idempotency-key': key } }), {
      code: 'invalid',
      pointer: '/idempotency-key',
    })
  })

  test('an unknown query parameter of a submission', async () =>
    expectRefusal(await service.request(`${JOBS}?dry_run=true`, { body: churnJob() }), {
      code: 'unknown_field',
      pointer: '/dry_run',
    }))
})

describe('registering a model', () => {
  const put = async (
    modelId: string,
    body: Uint8Array,
    search = '',
    type = 'application/octet-stream',
  ): Promise<Answer> =>
    service.request(`/api/v1/models/${modelId}${search}`, { method: 'PUT', body, headers: { 'content-type': type } })

  afterEach(async () => {
    const { body } = await service.request('/api/v1/models')
    expect(body.data.map(({ model_id }: JsonObject) => model_id)).toEqual(['churn', 'per-column'])
  })

  test('a file that is no ONNX model, or nothing at all', async () => {
    for (const bytes of [await modelBytes('not-onnx.bin'), Buffer.from('{}'), Buffer.alloc(0)])
      expectRefusal(await put('new', bytes), { code: 'model_invalid', pointer: null, says: /ONNX/i })
  })

  test('half of an ONNX model', async () => {
    const bytes = await modelBytes('churn.onnx')
    expectRefusal(await put('new', bytes.subarray(0, bytes.length / 2), '?features=a,b,c'), {
      code: 'model_invalid',
      pointer: null,
    })
  })

  test.each([
    ['', /needs \?features=.*3 query columns.*got none/],
    ['?features=a,b', /takes 3 features, got 2: a, b/],
    ['?features=a,b,c,d', /takes 3 features, got 4/],
    ['?features=a,b,b', /once.*b/],
    ['?features=a,,c', /empty/],
  ])('a model of one tensor with features "%s"', async (search, says) =>
    expectRefusal(await put('new', await modelBytes('churn.onnx'), search), {
      code: 'features_invalid',
      pointer: '/features',
      says,
    }),
  )

  test('features for a model with one input per column', async () =>
    expectRefusal(await put('new', await modelBytes('per-column.onnx'), '?features=amount,visits,plan'), {
      code: 'features_invalid',
      pointer: '/features',
      says: /by name \(amount, visits, plan\).*leave/,
    }))

  test('an input that columns cannot feed', async () => {
    const input = { name: 'image', type: 'float32' as const, shape: ['N', 28, 28] }
    expectRefusal(await put('new', identityModel([{ input, output: { ...input, name: 'out' } }])), {
      code: 'unsupported_input',
      pointer: '/inputs',
      says: /3 dimensions/,
    })
  })

  test('an output that no column can hold', async () => {
    const input = { name: 'x', type: 'complex64' as const, shape: ['N', 1] }
    const answer = await put('new', identityModel([{ input, output: { ...input, name: 'y' } }]))
    expectRefusal(answer, { code: answer.body.code, pointer: null })
    expect(['unsupported_input', 'model_invalid']).toContain(answer.body.code)
  })

  test('another content type', async () => {
    expectRefusal(await put('new', Buffer.from('{}'), '', 'application/json'), {
      status: 415,
      code: 'model_expected',
      pointer: null,
      says: /octet-stream/,
    })
    expectRefusal(await put('new', await modelBytes('churn.onnx'), '', 'multipart/form-data; boundary=x'), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
    })
  })

  test.each(['a@1', '.hidden', 'a%20b', 'a%2Fb', 'x'.repeat(129)])('model_id %s', async (modelId) =>
    expectRefusal(await put(modelId, await modelBytes('per-column.onnx')), { code: 'invalid', pointer: '/model_id' }),
  )

  test('an unknown query parameter', async () =>
    expectRefusal(await put('new', await modelBytes('churn.onnx'), '?feature=a,b,c'), {
      code: 'unknown_field',
      pointer: '/feature',
    }))
})

describe('reading', () => {
  test.each([
    ['GET', `${JOBS}/batch-0123456789abcdef0123`],
    ['GET', `${JOBS}/nonsense`],
    ['POST', `${JOBS}/batch-0123456789abcdef0123/cancel`],
    ['GET', `${JOBS}/batch-0123456789abcdef0123/events`],
    ['GET', '/api/v1/models/nothing'],
    ['GET', '/api/v1/nothing'],
    ['DELETE', JOBS],
  ])('what is not there: %s %s', async (method, path) =>
    expectRefusal(await service.request(path, { method }), { status: 404, code: 'not_found', pointer: null }),
  )

  test.each([
    'limit=0',
    'limit=1001',
    'limit=-1',
    'limit=1.5',
    'limit=ten',
    'limit=true',
    'limit=',
    'status=done',
    'status=',
  ])('a list with %s', async (search) =>
    expectRefusal(await service.request(`${JOBS}?${search}`), {
      code: 'invalid',
      pointer: `/${search.split('=')[0]}`,
    }),
  )

  test.each(['nonsense', 'MTIz', '', '%00', Buffer.from('1/').toString('base64url')])(
    'a list after %j',
    async (after) =>
      expectRefusal(await service.request(`${JOBS}?after=${after}`), {
        code: 'invalid_cursor',
        pointer: null,
        says: /next/,
      }),
  )

  test('a path that is no URL', async () =>
    expectRefusal(await service.request('/api/v1/models/%zz'), { code: 'bad_url', pointer: null }))

  test('a list with an unknown query parameter', async () =>
    expectRefusal(await service.request(`${JOBS}?state=running`), { code: 'unknown_field', pointer: '/state' }))
})

test('after all of this nothing is there that a refused request could have left', async () => {
  expect(await service.query('SELECT nspname FROM pg_namespace WHERE nspname = $1', [OWN_SCHEMA])).toEqual([])
  expect(await service.query("SELECT to_regclass('predictions.churn_scores') AS found")).toEqual([{ found: null }])
  for (const name of ['inside', 'beside', '_scoreline', '../beside'])
    expect(existsSync(join(service.outputDir, name))).toBe(false)
})

test('as many rows as the limit and the largest sizes are just allowed', async () => {
  const job = await run(service, jobWith({ config: { batch_size: 100_000, parallelism: 16 } }))
  known.add(job.job_id)
  expect(job.progress.written_rows).toBe(MAX_ROWS)
})
