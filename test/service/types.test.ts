// Every Postgres type through the whole service, to a table and to Parquet, with extremes and NULLs; then rows that a model
// cannot score, and queries that fail while they run.
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { duckdb } from '../connectors/files/duckdb.ts'
import { failed, recordsOf, registerModel, run, submit } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { identityModel, type ValueInfo } from '../model/onnx-writer.ts'
import { TYPES } from './type-cases.ts'

let service: Service

beforeAll(async () => {
  service = await startService({ name: 'types' })
  await registerModel(service, 'regressor', 'regressor.onnx', 'f1,f2')
  await registerModel(service, 'per-column', 'per-column.onnx')
  await registerModel(service, 'picky', 'picky.onnx', 'x0,x1')
})

/** Row 4 holds what Parquet has no place for, row 5 is NULL in every column but the key and the features. */
const EVERYTHING = `SELECT id, ${TYPES.map(({ name }) => `c_${name}`).join(', ')}, f1, f2 FROM everything`

describe('every type passes through', () => {
  beforeAll(async () => {
    const columns = TYPES.map(({ name, type }) => `c_${name} ${type}`)
    await service.query(`CREATE TABLE everything (id integer PRIMARY KEY, ${columns.join(', ')}, f1 real, f2 real)`)
    for (const row of [0, 1, 2, 3, 4]) {
      const values = TYPES.map(({ values, type }) => {
        const value = row === 4 ? null : (values[row] as string | null)
        return value === null ? 'NULL' : type === 'boolean' || /^-?\d/.test(value) ? value : `${value}::${type}`
      })
      await service.query(`INSERT INTO everything VALUES (${row + 1}, ${values.join(', ')}, ${row}, 1)`)
    }
  })

  test('to a table: the same types, and the same values to the last digit', async () => {
    const job = await run(service, jobFor('regressor', EVERYTHING, 'everything'))
    expect(job.progress).toMatchObject({ written_rows: 5, failed_rows: 0 })
    const types = (await columnTypes('predictions.everything')).filter(({ name }) => name !== 'variable')
    const source = (await columnTypes('everything')).filter(({ name }) => !/^f\d$/.test(name))
    expect(types).toEqual(source)
    expect(types.slice(1)).toEqual(TYPES.map(({ name, type }) => ({ name: `c_${name}`, type })))
    // As text: that tells 1.500 from 1.5 and -0 from 0, and json can be compared at all.
    const texts = TYPES.map(({ name }) => `c_${name}::text`).join(', ')
    const [missing, added] = ['everything', 'predictions.everything'].map((table, i, tables) =>
      service.query(`SELECT id, ${texts} FROM ${table} EXCEPT ALL SELECT id, ${texts} FROM ${tables[1 - i]}`),
    )
    expect([await missing, await added]).toEqual([[], []])
    const nulls = TYPES.map(({ name }) => `c_${name} IS NULL`).join(' AND ')
    expect(await service.query(`SELECT id FROM predictions.everything WHERE ${nulls}`)).toEqual([{ id: 5 }])
  })

  test('to Parquet: type and value of each column, read by DuckDB', async () => {
    const query = `${EVERYTHING} WHERE id <> 4`
    await run(service, jobFor('regressor', query, { destination: 'parquet', path: 'everything/' }))
    const files = `'${join(service.outputDir, 'everything')}/*.parquet'`
    const types = await duckdb(`DESCRIBE SELECT * EXCLUDE (id, variable) FROM ${files}`)
    expect(types.map(({ column_name, column_type }) => [column_name, column_type])).toEqual(
      TYPES.map(({ name, duckdb: [type] }) => [`c_${name}`, type]),
    )
    const texts = TYPES.map(({ name, duckdb: [type] }) => `${duckdbText(`c_${name}`, type)} AS c_${name}`)
    const rows = await duckdb(`SELECT ${texts.join(', ')} FROM ${files} ORDER BY id`)
    for (const {
      name,
      duckdb: [, ...values],
    } of TYPES)
      expect(
        rows.map((row) => row[`c_${name}`]),
        name,
      ).toEqual([...values, null])
  })

  test('what Parquet cannot store fails the job, with the column and the remedy', async () => {
    const jobId = await submit(
      service,
      jobFor('regressor', EVERYTHING, { destination: 'parquet', path: 'impossible/' }),
    )
    const { error } = await failed(service, jobId)
    expect(error.code).toBe('value_not_representable')
    expect(error.message).toMatch(/^column c_\w+ holds .* (replace|cast)/)
    expect(await duckdb(`SELECT * FROM glob('${join(service.outputDir, 'impossible')}/*')`)).toEqual([])
  })

  test('a timestamp beyond the range of microseconds since 1970 fails the job, with the remedy', async () => {
    const query = `SELECT i AS id, 1::real AS f1, 1::real AS f2, timestamp '294270-01-01' AS t FROM generate_series(1, 3) i`
    const { error } = await failed(service, await submit(service, jobFor('regressor', query, 'too_late')))
    expect(error).toMatchObject({ code: 'value_out_of_range', message: expect.stringContaining('t::text') })
    expect(await tableExists('too_late')).toBe(false)
  })
})

describe('features', () => {
  test('every numeric type can feed floating-point inputs, integers also integer inputs, as SQL would cast them', async () => {
    const sources = {
      smallint: '(i * 300)::smallint',
      integer: '(i * 70001)::integer',
      bigint: '(i * 10000000019)::bigint',
      real: '(i / 3.0)::real',
      double: '(i / 3.0)::double precision',
      decimal: '(i / 3.0)::numeric(10,2)',
      numeric: '(i / 7.0)::numeric',
    }
    const rows = 'FROM generate_series(-100, 100) i'
    const wanted: Cast[] = [
      ...Object.entries(sources).flatMap(([name, source]): Cast[] => [
        { column: `${name}_f32`, source, type: 'float32', sql: 'real' },
        { column: `${name}_f64`, source, type: 'float64', sql: 'double precision' },
      ]),
      ...(['smallint', 'integer', 'bigint'] as const).map(
        (name): Cast => ({ column: `${name}_i64`, source: sources[name], type: 'int64', sql: 'bigint' }),
      ),
      { column: 'smallint_i32', source: sources.smallint, type: 'int32', sql: 'integer' },
    ]
    expect(await differencesToCasts('numbers', wanted, rows)).toEqual([])
    expect(await service.query('SELECT count(*)::int AS rows FROM predictions.numbers')).toEqual([{ rows: 201 }])
  })

  test('a decimal of more than 53 bits feeds the nearest floating-point number', async () => {
    const wanted: Cast[] = [
      { column: 'wide', source: '(i / 3.0 * 1e20)::numeric(38,10)', type: 'float64', sql: 'double precision' },
      {
        column: 'long',
        source: '(i * 12345678.123456789012)::numeric(18,9)',
        type: 'float64',
        sql: 'double precision',
      },
    ]
    expect(await differencesToCasts('decimals', wanted, 'FROM generate_series(1, 80) i')).toEqual([])
  })

  test('text types feed strings, and come out as they went in', async () => {
    const columns = ['text', 'varchar', 'char', 'jsonb'].map((column) => ({ column, type: 'string' as const }))
    await registerIdentity('texts', columns)
    await service.query(
      `CREATE TABLE texts (id integer, text text, varchar varchar(20), char char(5), jsonb jsonb);
       INSERT INTO texts VALUES (1, '', '', '', '{}'), (2, 'žluťoučký 🐎', '🐎', 'ab', '{"a": "é"}'), (3, E'a\\n"b"', 'plain', 'abcde', 'null')`,
    )
    await run(service, jobFor('texts', 'SELECT id, text, varchar, char, jsonb FROM texts', 'texts'))
    // A char(5) is its five characters.
    expect(
      await service.query(
        `SELECT id, out_text, out_varchar, out_char, out_jsonb FROM predictions.texts
         EXCEPT SELECT id, text, varchar, rpad(char, 5), jsonb::text FROM texts`,
      ),
    ).toEqual([])
  })

  test('NULL in a floating-point feature is NaN; where the prediction is NaN too, the row fails', async () => {
    const query = 'SELECT i AS id, nullif(i, 3)::real AS f1, i::real AS f2 FROM generate_series(1, 20) i'
    const failing = await failed(service, await submit(service, jobFor('regressor', query, 'no_nan')))
    expect(failing.error).toMatchObject({ code: 'too_many_failed_rows' })
    const job = await run(service, { ...jobFor('regressor', query, 'with_nan'), config: { max_failed_rows: 1 } })
    expect(job.progress).toMatchObject({ written_rows: 19, failed_rows: 1 })
    expect(await service.query('SELECT id FROM predictions.with_nan WHERE id = 3')).toEqual([])
    const { body } = await service.request(`/api/v1/inference/batch/${job.job_id}/errors`)
    expect(body.data).toMatchObject([{ reason: "output_nan: the model's prediction variable is NaN" }])
  })
})

describe('rows that cannot be scored', () => {
  /** Three of twenty rows have a NULL where the model takes none. */
  const NULLS = `SELECT i AS id, i::real AS amount, nullif(nullif(i, 3), 17)::bigint AS visits,
    CASE WHEN i <> 8 THEN 'basic' END AS plan FROM generate_series(1, 20) i`

  test.each([0, 2])('more than max_failed_rows = %i: the job fails, nothing is visible', async (max_failed_rows) => {
    const job = jobFor('per-column', NULLS, 'with_nulls', { batch_size: 4, max_failed_rows })
    const end = await failed(service, await submit(service, job))
    expect(end.error).toMatchObject({
      code: 'too_many_failed_rows',
      message: expect.stringContaining(`max_failed_rows is ${max_failed_rows}`),
    })
    expect(end.progress.percentage).toBeLessThan(100)
    expect(await tableExists('with_nulls')).toBe(false)
  })

  test.each(['table', 'parquet'] as const)(
    'up to max_failed_rows the job completes without them: %s',
    async (destination) => {
      const output = destination === 'table' ? 'without_nulls' : { destination, path: 'without-nulls/' }
      const job = await run(service, jobFor('per-column', NULLS, output, { batch_size: 4, max_failed_rows: 3 }))
      expect(job.progress).toMatchObject({
        total_rows: 20,
        read_rows: 20,
        processed_rows: 20,
        written_rows: 17,
        failed_rows: 3,
        percentage: 100,
      })
      const rows =
        destination === 'table'
          ? await service.query('SELECT id FROM predictions.without_nulls ORDER BY id')
          : await duckdb(`SELECT id FROM '${join(service.outputDir, 'without-nulls')}/*.parquet' ORDER BY id`)
      const written = Array.from({ length: 20 }, (_, i) => i + 1).filter((id) => ![3, 8, 17].includes(id))
      expect(rows.map(({ id }) => id)).toEqual(written)

      const letters = await deadLettersOf(job.job_id)
      expect(letters.map(({ content }) => content)).toEqual([
        { id: '17', amount: '17', visits: null, plan: 'basic' },
        { id: '3', amount: '3', visits: null, plan: 'basic' },
        { id: '8', amount: '8', visits: '8', plan: null },
      ])
      for (const letter of letters) {
        const column = letter.content.plan === null ? 'plan' : 'visits'
        expect(letter).toMatchObject({
          kind: 'row',
          tenant_id: 'default',
          reason: expect.stringMatching(new RegExp(`^${column} is NULL`)),
          origin: { topic: `${service.prefix}chunks.cpu.v1` },
        })
      }
      expect(new Set(letters.map(({ id }) => id)).size).toBe(3)
    },
  )

  test('a poison row is found in its chunk and left out; the others are scored', async () => {
    const query = 'SELECT i AS id, i::real AS x0, 1::real AS x1 FROM generate_series(1, 1000) i'
    const strict = await failed(service, await submit(service, jobFor('picky', query, 'poisoned')))
    expect(strict.error.code).toBe('too_many_failed_rows')
    expect(await tableExists('poisoned')).toBe(false)

    const job = await run(service, jobFor('picky', query, 'poisoned', { max_failed_rows: 1, batch_size: 300 }))
    expect(job.progress).toMatchObject({ written_rows: 999, failed_rows: 1 })
    expect(
      await service.query(
        'SELECT count(*)::int AS rows, count(*) FILTER (WHERE y <> id + 1 OR id = 666)::int AS wrong FROM predictions.poisoned',
      ),
    ).toEqual([{ rows: 999, wrong: 0 }])
    expect(await deadLettersOf(job.job_id)).toMatchObject([
      {
        kind: 'row',
        content: { id: '666', x0: '666', x1: '1' },
        reason: expect.stringContaining('out of data bounds'),
      },
    ])
  })

  test('an integer beyond the model’s type is a failed row, not another number', async () => {
    await registerIdentity('narrow', [{ column: 'n', type: 'int32' }])
    const query = 'SELECT i AS id, (1::bigint << (i * 10)) AS n FROM generate_series(0, 4) i'
    const job = await run(service, jobFor('narrow', query, 'narrow', { max_failed_rows: 1 }))
    expect(await service.query('SELECT id, out_n FROM predictions.narrow ORDER BY id')).toEqual(
      [0, 1, 2, 3].map((id) => ({ id, out_n: 2 ** (10 * id) })),
    )
    expect(await deadLettersOf(job.job_id)).toMatchObject([
      { content: { id: '4', n: '1099511627776' }, reason: expect.stringContaining('int32') },
    ])
  })

  test('a job of which every row fails completes empty, if it may', async () => {
    const query = `SELECT i AS id, 1::real AS amount, NULL::bigint AS visits, 'pro' AS plan FROM generate_series(1, 50) i`
    const job = await run(service, jobFor('per-column', query, 'all_failed', { batch_size: 10, max_failed_rows: 50 }))
    expect(job.progress).toMatchObject({ total_rows: 50, written_rows: 0, failed_rows: 50 })
    expect(await service.query('SELECT * FROM predictions.all_failed')).toEqual([])
    expect(await deadLettersOf(job.job_id)).toHaveLength(50)
  })
})

describe('a query that fails while it runs', () => {
  const QUERY = 'SELECT i AS id, i::real AS f1, (1 / (i - 4000))::real AS f2 FROM generate_series(1, 5000) i'

  test('the job fails with the server’s message and leaves no table', async () => {
    const job = await failed(service, await submit(service, jobFor('regressor', QUERY, 'divided')))
    expect(job).toMatchObject({ attempt: 1, error: { code: 'query_failed' } })
    expect(job.error.message).toContain('division by zero')
    expect(job.progress.percentage).toBeLessThan(100)
    expect(await tableExists('divided')).toBe(false)
  })

  test('a table that it would have overwritten keeps its rows', async () => {
    const good = 'SELECT i AS id, i::real AS f1, i::real AS f2 FROM generate_series(1, 10) i'
    await run(service, jobFor('regressor', good, 'kept'))
    await failed(service, await submit(service, jobFor('regressor', QUERY, 'kept')))
    expect(await service.query('SELECT count(*)::int AS rows FROM predictions.kept')).toEqual([{ rows: 10 }])
  })
})

function jobFor(model_id: string, query: string, output: string | JsonObject, config: JsonObject = {}): JsonObject {
  return {
    model_id,
    input: { source: 'sql', query },
    output: typeof output === 'string' ? { destination: 'table', table_name: `predictions.${output}` } : output,
    config,
  }
}

interface Cast {
  readonly column: string
  /** SQL of the column's value; `i` counts the rows. */
  readonly source: string
  readonly type: ValueInfo['type']
  /** The SQL type that stands for `type`. */
  readonly sql: string
}

/** Scores each source with an identity model; the rows that differ from what Postgres' own casts give. */
async function differencesToCasts(name: string, casts: readonly Cast[], rows: string): Promise<JsonObject[]> {
  await registerIdentity(name, casts)
  const features = casts.map(({ column, source }) => `${source} AS ${column}`)
  await run(service, jobFor(name, `SELECT i AS id, ${features.join(', ')} ${rows}`, name))
  const scored = casts.map(({ column }) => `out_${column}`)
  const direct = casts.map(({ source, sql }) => `${source}::${sql}`)
  return service.query(
    `SELECT id, ${scored.join(', ')} FROM predictions.${name} EXCEPT ALL SELECT i, ${direct.join(', ')} ${rows} ORDER BY id`,
  )
}

/** Registers a model whose output `out_<column>` is its input `<column>`. */
async function registerIdentity(
  modelId: string,
  columns: readonly { column: string; type: ValueInfo['type'] }[],
): Promise<void> {
  const bytes = identityModel(
    columns.map(({ column, type }) => ({
      input: { name: column, type, shape: ['N', 1] },
      output: { name: `out_${column}`, type, shape: ['N', 1] },
    })),
  )
  const { status, body } = await service.request(`/api/v1/models/${modelId}`, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-type': 'application/octet-stream' },
  })
  expect(status, JSON.stringify(body)).toBe(201)
}

/** A column as text, in UTC. DuckDB's own text of a TIMESTAMP WITH TIME ZONE is a millisecond off in distant years. */
function duckdbText(column: string, type: string): string {
  if (type === 'BLOB') return `hex(${column})`
  if (type === 'TIMESTAMP WITH TIME ZONE') return `make_timestamp(epoch_us(${column}))::VARCHAR`
  return `${column}::VARCHAR`
}

function columnTypes(table: string): Promise<{ name: string; type: string }[]> {
  return service.query(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  )
}

async function tableExists(name: string): Promise<boolean> {
  const [row] = await service.query('SELECT to_regclass($1) IS NOT NULL AS found', [`predictions.${name}`])
  return row?.found === true
}

/** A job's dead letters, by the id in their content. */
async function deadLettersOf(jobId: string): Promise<JsonObject[]> {
  const letters = await recordsOf(service, deadLettersTopic.name)
  return letters.filter((letter) => letter.job_id === jobId).sort((a, b) => (a.content.id < b.content.id ? -1 : 1))
}
