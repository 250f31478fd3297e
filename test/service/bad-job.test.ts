// Everything that a job can have wrong (its query, model, output, config) is refused before anything starts: as
// application/problem+json with a stable code, a pointer to the field and what to do about it.
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { OWN_SCHEMA } from '../../connectors/postgres/identifiers.ts'
import { CUSTOMERS, JOBS } from '../harness/jobs.ts'
import type { JsonObject, Service } from '../harness/service.ts'
import {
  expectNoJobs,
  expectRefusal,
  expectUntouched,
  jobWith,
  MAX_ROWS,
  type Refusal,
  startRefusing,
} from './refusals.ts'

let service: Service

beforeAll(async () => {
  service = await startRefusing('bad-job')
})

afterEach(() => expectNoJobs(service))

const refused = async (job: unknown, expected: Refusal): Promise<void> =>
  expectRefusal(await service.request(JOBS, { body: job }), expected)
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

  test.each([
    [
      'of Kafka itself',
      () => '__consumer_offsets',
      'topic_internal',
      /internal topic of Kafka's: choose a name without __/,
    ],
    ['of Kafka itself, of transactions', () => '__transaction_state', 'topic_internal', /choose a name without __/],
    ['of this service', () => `${service.prefix}jobs.v1`, 'topic_reserved', /one of the service's own topics.*choose/],
    ['that this service may have one day', () => `${service.prefix}x`, 'topic_reserved', /all that begin with/],
    ['with a space', () => 'two words', 'topic_invalid', /expected 1 to 249 of the characters.*got "two words"/],
    ['with a slash', () => '../jobs', 'topic_invalid', /got "\.\.\/jobs"/],
    ['that is no name', () => '..', 'topic_invalid', /not "\." or "\.\."/],
    ['that is too long', () => 'x'.repeat(250), 'topic_invalid', /1 to 249/],
  ])('a topic %s', (_what, topic, code, says) =>
    refused(jobWith({ output: { destination: 'kafka', table_name: undefined, mode: undefined, topic: topic() } }), {
      code,
      pointer: '/output/topic',
      says,
    }),
  )

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

  test.each(['append', 'upsert'])(
    '%s into the table that the query reads, as one of several outputs too',
    async (mode) => {
      const name = `predictions.own_${mode}`
      await service.query(
        `CREATE TABLE ${name} (customer_id bigint PRIMARY KEY, tenure int, monthly_charges float8, total_charges float8,
         label bigint, probabilities_0 real, probabilities_1 real)`,
      )
      const { input, model_id } = jobWith({
        input: {
          query: `SELECT customer_id, tenure, monthly_charges, total_charges FROM ${name}`,
          key_column: 'customer_id',
        },
      })
      const own = { destination: 'table', table_name: name, mode }
      const says = { code: 'output_is_source', says: new RegExp(`own_${mode}`) }
      await refused({ model_id, input, output: own }, { ...says, pointer: '/output/table_name' })
      const beside = { destination: 'table', table_name: 'predictions.beside' }
      await refused({ model_id, input, output: beside, outputs: [own] }, { ...says, pointer: '/outputs/0/table_name' })
    },
  )

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
      ['a bucket that is no root', 's3://bucket/prefix/', 'path_not_allowed', /outside of the allowed roots/],
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

test('after all of this nothing is there that a refused request could have left', () => expectUntouched(service))
