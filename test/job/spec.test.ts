// The body of a submission: its defaults, and that every fault is named with its place and the value that came.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Problem } from '../../connectors/connector.ts'
import { parseJob } from '../../src/job/spec.ts'
import { BARE_OUTPUT } from '../../topics/jobs.ts'

const DEFAULTS = { parallelism: 4 }

interface Body {
  model_id: unknown
  input: Record<string, unknown>
  output: Record<string, unknown>
  config?: Record<string, unknown>
}

function body(): Body {
  return {
    model_id: 'model-xyz789',
    input: { source: 'sql', query: 'SELECT customer_id, tenure FROM customers' },
    output: { destination: 'table', table_name: 'predictions.churn_scores' },
  }
}

function problemsOf(value: unknown): Problem[] {
  const parsed = parseJob(value, DEFAULTS)
  return 'problems' in parsed ? parsed.problems : []
}

function specOf(value: unknown) {
  const parsed = parseJob(value, DEFAULTS)
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  return parsed.spec
}

/** The body with one field, named by its JSON pointer, set to a value; `undefined` removes it. */
function withField(pointer: string, value: unknown): unknown {
  const changed = { ...body(), config: {} } as Record<string, unknown>
  const names = pointer.split('/').slice(1)
  const last = names.pop() as string
  let target = changed
  for (const name of names) target = target[name] as Record<string, unknown>
  if (value === undefined) delete target[last]
  else target[last] = value
  return changed
}

describe('defaults', () => {
  test('the documented example parses to itself', () => {
    const query = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'
    const config = {
      batch_size: 1000,
      parallelism: 8,
      max_memory_gb: 16,
      timeout_minutes: 60,
      retry_count: 3,
      accelerator: 'cpu',
      max_failed_rows: 0,
    }
    const input = { source: 'sql', query, connection: 'warehouse', key_column: 'customer_id' }
    const output = { destination: 'table', table_name: 'predictions.churn_scores', mode: 'append', columns: ['label'] }
    expect(specOf({ model_id: 'model-xyz789', input, output, config })).toEqual({
      modelId: 'model-xyz789',
      modelVersion: null,
      input,
      outputs: [{ ...BARE_OUTPUT, ...output, connection: 'warehouse' }],
      outputPointers: ['/output'],
      config,
      webhook: null,
    })
  })

  test('what is left out is filled in', () => {
    expect(specOf(body())).toEqual({
      modelId: 'model-xyz789',
      modelVersion: null,
      input: { ...body().input, connection: 'warehouse', key_column: null },
      outputs: [{ ...BARE_OUTPUT, ...body().output, connection: 'warehouse', mode: 'overwrite' }],
      outputPointers: ['/output'],
      config: {
        batch_size: 1000,
        parallelism: 4,
        max_memory_gb: 16,
        timeout_minutes: 60,
        retry_count: 3,
        accelerator: 'auto',
        max_failed_rows: 0,
      },
      webhook: null,
    })
  })

  test.each([
    [{ destination: 'parquet', path: 's3://bucket/prefix/' }],
    [{ destination: 'csv', path: 'file:///tmp/out/' }],
    [{ destination: 'kafka', topic: 'predictions.churn', format: 'json' }],
  ])('%j needs no more, and no database', (output) => {
    const spec = specOf({ ...body(), output })
    expect(spec.outputs).toMatchObject([{ ...output, connection: null }])
  })

  test('a topic is appended to, and says so', () => {
    expect(specOf({ ...body(), output: { destination: 'kafka', topic: 'a' } }).outputs).toMatchObject([
      { mode: 'append', format: null },
    ])
  })

  test.each([
    [
      { destination: 'parquet', path: 'a' },
      { compression: 'zstd', target_file_mb: 128, formula_guard: null },
    ],
    [
      { destination: 'csv', path: 'a' },
      { compression: 'none', target_file_mb: 128, formula_guard: true },
    ],
    [
      { destination: 'table', table_name: 'a' },
      { compression: null, target_file_mb: null, key_columns: null },
    ],
    [{ destination: 'table', table_name: 'a', mode: 'upsert' }, { key_columns: ['customer_id'] }],
  ])('%j becomes %j', (output, filledIn) => {
    expect(specOf({ ...body(), input: { ...body().input, key_column: 'customer_id' }, output }).outputs).toMatchObject([
      filledIn,
    ])
  })

  test.each([
    [{ destination: 'csv', path: 'a', compression: 'zstd' }, '/output/compression'],
    [{ destination: 'parquet', path: 'a', compression: 'gzip' }, '/output/compression'],
    [{ destination: 'parquet', path: 'a', formula_guard: true }, '/output/formula_guard'],
    [{ destination: 'table', table_name: 'a', target_file_mb: 3 }, '/output/target_file_mb'],
    [{ destination: 'table', table_name: 'a', key_columns: ['id'] }, '/output/key_columns'],
    [{ destination: 'parquet', path: 'a', connection: 'warehouse' }, '/output/connection'],
    [{ destination: 'table', table_name: 'a', format: 'json' }, '/output/format'],
  ])('%j has a field that does not belong', (output, pointer) => {
    expect(problemsOf({ ...body(), output })).toMatchObject([{ pointer }])
  })

  test('several outputs, with or without a first one', () => {
    const { output, ...rest } = body()
    const files = { destination: 'parquet', path: 'scores/' }
    const both = specOf({ ...rest, output, outputs: [files] })
    expect(both.outputs).toMatchObject([output, files])
    expect(both.outputPointers).toEqual(['/output', '/outputs/0'])
    expect(specOf({ ...rest, outputs: [files, output] }).outputPointers).toEqual(['/outputs/0', '/outputs/1'])
    expect(problemsOf(rest)).toMatchObject([{ code: 'required', pointer: '/output' }])
    expect(problemsOf({ ...rest, outputs: [] })).toMatchObject([{ pointer: '/outputs' }])
    expect(problemsOf({ ...rest, output, outputs: new Array(8).fill(files) })).toContainEqual(
      expect.objectContaining({ code: 'invalid', pointer: '/outputs' }),
    )
    expect(
      problemsOf({ ...rest, output, outputs: [{ destination: 'csv', path: 'scores', topic: 'x' }] }),
    ).toMatchObject([{ code: 'unknown_field', pointer: '/outputs/0/topic' }])
  })

  test.each([
    [
      { destination: 'table', table_name: 'a' },
      { destination: 'table', table_name: 'a', connection: 'warehouse' },
    ],
    [
      { destination: 'parquet', path: 'a/' },
      { destination: 'csv', path: 'a' },
    ],
    [
      { destination: 'kafka', topic: 'a' },
      { destination: 'kafka', topic: 'a', format: 'json' },
    ],
  ])('two outputs of one job must not go to the same place: %j, %j', (output, second) => {
    expect(problemsOf({ ...body(), output, outputs: [second] })).toMatchObject([
      { code: 'output_repeated', pointer: '/outputs/0' },
    ])
  })

  test('parallelism falls back to the given default', () => {
    const parsed = parseJob(body(), { parallelism: 7 })
    expect('spec' in parsed && parsed.spec.config.parallelism).toBe(7)
  })
})

describe('model_id', () => {
  test('may name a version', () => {
    expect(specOf({ ...body(), model_id: 'churn@12' })).toMatchObject({ modelId: 'churn', modelVersion: 12 })
  })

  test.each([
    'churn@',
    'churn@0',
    'churn@01',
    'churn@-1',
    'churn@1.5',
    'churn@latest',
    '@3',
    'a@1@2',
    'churn@9999999999',
  ])('%s is none', (model_id) => {
    expect(problemsOf({ ...body(), model_id })).toEqual([
      { code: 'invalid', pointer: '/model_id', detail: `expected id or id@version, got ${model_id}` },
    ])
  })
})

describe('a bad field is named with the value that came', () => {
  test.each<[string, unknown]>([
    ['/model_id', ''],
    ['/model_id', 5],
    ['/input/source', 'csv'],
    ['/input/query', ''],
    ['/input/query', 7],
    ['/input/connection', ''],
    ['/input/key_column', null],
    ['/input', 'SELECT 1'],
    ['/output/destination', 's3'],
    ['/output/mode', 'replace'],
    ['/output/table_name', ''],
    ['/output/table_name', ['a']],
    ['/output/format', 'xml'],
    ['/output/columns', []],
    ['/output/columns', 'label'],
    ['/config/batch_size', 0],
    ['/config/batch_size', -1],
    ['/config/batch_size', 100_001],
    ['/config/batch_size', 1e30],
    ['/config/batch_size', 1.5],
    ['/config/batch_size', '1000'],
    ['/config/parallelism', 0],
    ['/config/parallelism', -4],
    ['/config/parallelism', 17],
    ['/config/parallelism', 2 ** 53],
    ['/config/max_memory_gb', 0],
    ['/config/timeout_minutes', 0],
    ['/config/timeout_minutes', 10_081],
    ['/config/retry_count', -1],
    ['/config/retry_count', 101],
    ['/config/accelerator', 'tpu'],
    ['/config/max_failed_rows', -1],
    ['/config/max_failed_rows', 2 ** 31],
    ['/config', null],
  ])('%s = %j', (pointer, value) => {
    const problems = problemsOf(withField(pointer, value))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatchObject({ code: 'invalid', pointer })
    expect(problems[0]?.detail).toContain(`got ${JSON.stringify(value)}`)
  })

  test.each(['/model_id', '/input', '/input/source', '/input/query', '/output', '/output/destination'])(
    '%s is missing',
    (pointer) => {
      expect(problemsOf(withField(pointer, undefined))).toMatchObject([{ code: 'required', pointer }])
    },
  )

  test.each(['/schedul', '/input/querry', '/output/table', '/config/batchsize'])('%s is no field', (pointer) => {
    expect(problemsOf(withField(pointer, 1))).toMatchObject([{ code: 'unknown_field', pointer }])
  })

  test('a pointer escapes what a name may hold', () => {
    expect(problemsOf({ ...body(), 'a/b~c': 1 })).toMatchObject([{ code: 'unknown_field', pointer: '/a~1b~0c' }])
  })

  test('a long value is cut', () => {
    const [problem] = problemsOf(withField('/output/mode', 'x'.repeat(5_000)))
    expect(problem?.detail.length).toBeLessThan(250)
  })

  test.each([null, undefined, 5, 'text', [], true])('%j is no body', (value) => {
    expect(problemsOf(value)).toMatchObject([{ code: 'invalid', pointer: '' }])
  })
})

describe('what a destination needs', () => {
  test.each([
    ['table', 'table_name'],
    ['parquet', 'path'],
    ['csv', 'path'],
    ['kafka', 'topic'],
  ])('%s needs %s, and nothing of the others', (destination, needed) => {
    expect(problemsOf({ ...body(), output: { destination } })).toMatchObject([
      { code: 'required', pointer: `/output/${needed}` },
    ])
    const output = { destination, table_name: 'a.b', path: 's3://b/', topic: 't' }
    const others = ['table_name', 'path', 'topic'].filter((name) => name !== needed)
    expect(problemsOf({ ...body(), output })).toMatchObject(
      others.map((name) => ({ code: 'unknown_field', pointer: `/output/${name}` })),
    )
  })
})

test('all faults are named at once', () => {
  const wrong: Record<string, unknown> = {
    '/config/batch_size': 0,
    '/config/parallelism': 0,
    '/config/max_memory_gb': 0,
    '/config/timeout_minutes': 0,
    '/config/retry_count': -1,
    '/config/accelerator': 'tpu',
    '/config/max_failed_rows': -1,
    '/config/speed': 'high',
    '/input/source': 'csv',
    '/input/query': '',
    '/output/mode': 'replace',
    '/output/colour': 'red',
    '/schedul': {},
  }
  const bad = { ...body(), config: {} } as Record<string, unknown>
  for (const [pointer, value] of Object.entries(wrong)) {
    const [, first = '', second] = pointer.split('/')
    if (second === undefined) bad[first] = value
    else (bad[first] as Record<string, unknown>)[second] = value
  }
  expect(
    problemsOf(bad)
      .map(({ pointer }) => pointer)
      .sort(),
  ).toEqual(Object.keys(wrong).sort())
})

test('any JSON gets an answer, and what is accepted is within the limits', () => {
  const anyConfig = fc.record(
    { batch_size: fc.oneof(fc.integer(), fc.double()), parallelism: fc.integer({ min: -2, max: 20 }) },
    { requiredKeys: [] },
  )
  const anyBody = fc.oneof(
    fc.jsonValue(),
    anyConfig.map((config) => ({ ...body(), config })),
    fc.tuple(fc.constantFrom('model_id', 'input', 'output', 'config'), fc.jsonValue()).map(([name, value]) => ({
      ...body(),
      [name]: value,
    })),
  )
  fc.assert(
    fc.property(anyBody, (value) => {
      const parsed = parseJob(value, DEFAULTS)
      if ('problems' in parsed) {
        expect(parsed.problems.length).toBeGreaterThan(0)
        for (const { code, pointer, detail } of parsed.problems) {
          expect(code).not.toBe('')
          expect(detail).not.toBe('')
          expect(pointer === '' || pointer.startsWith('/')).toBe(true)
        }
      } else {
        const { batch_size, parallelism } = parsed.spec.config
        expect(Number.isInteger(batch_size) && batch_size >= 1 && batch_size <= 100_000).toBe(true)
        expect(Number.isInteger(parallelism) && parallelism >= 1 && parallelism <= 16).toBe(true)
      }
    }),
  )
})
