// Fitting queries to models: every fixture matches a query made for it, and what does not fit is told in full.
import { describe, expect, test } from 'vitest'
import { probeOutputs } from '../../src/model/probe.ts'
import { predictionsOf } from '../../src/model/scoring-plan.ts'
import { openSession } from '../../src/model/session.ts'
import {
  type MatchableModel,
  matchColumns,
  selectColumns,
  selectScored,
  validateFeatures,
} from '../../src/model/signature.ts'
import type { Column, ColumnKind } from '../../topics/columns.ts'
import { TENSOR_TYPES, type TensorSpec, type TensorType } from '../../topics/models.ts'
import { expectNone, MODELS, modelBytes, problemsOf, registerFixture } from './fixtures.ts'
import { identityModel, onnxModel } from './onnx-writer.ts'

const churn = 'examples/churn/churn.onnx'

function columns(spec: Record<string, ColumnKind>): Column[] {
  return Object.entries(spec).map(([name, kind]) => ({ name, kind }))
}

function planFor(model: MatchableModel, query: readonly Column[]) {
  return expectNone(matchColumns(model, query)).plan
}

function model(inputs: TensorSpec[], outputs: TensorSpec[] = [], features: string[] = []): MatchableModel {
  return { signature: { inputs, outputs }, features }
}

describe('matching', () => {
  test('a classifier on one tensor gives customer_id, label, probabilities_0, probabilities_1', async () => {
    const registered = await registerFixture(churn)
    const query: Column[] = [
      { name: 'customer_id', kind: 'int64' },
      { name: 'total_charges', kind: 'numeric' },
      { name: 'tenure', kind: 'int32' },
      { name: 'monthly_charges', kind: 'decimal', precision: 10, scale: 2 },
    ]
    const plan = planFor(registered.model, query)
    expect(plan.inputs).toEqual([
      { name: 'input', type: 'float32', shape: 'matrix', columns: ['tenure', 'monthly_charges', 'total_charges'] },
    ])
    expect(plan.passthrough).toEqual(['customer_id'])
    expect(plan.outputColumns).toEqual([
      { name: 'customer_id', kind: 'int64' },
      { name: 'label', kind: 'int64' },
      { name: 'probabilities_0', kind: 'float32' },
      { name: 'probabilities_1', kind: 'float32' },
    ])
  })

  test('a model with one input per column takes them by name, in any order', async () => {
    const registered = await registerFixture('test/fixtures/models/per-column.onnx')
    const plan = planFor(registered.model, columns({ plan: 'utf8', id: 'uuid', visits: 'int16', amount: 'float64' }))
    expect(plan.inputs.map(({ name, shape, columns }) => [name, shape, columns])).toEqual([
      ['amount', 'column', ['amount']],
      ['visits', 'column', ['visits']],
      ['plan', 'column', ['plan']],
    ])
    expect(plan.outputColumns.map(({ name, kind }) => `${name}: ${kind}`)).toEqual([
      'id: uuid',
      'label: utf8',
      'probabilities_0: float32',
      'probabilities_1: float32',
    ])
  })

  test('[N, 1] and [N] outputs are one column each', async () => {
    const registered = await registerFixture('test/fixtures/models/booleans.onnx')
    const plan = planFor(registered.model, columns({ active: 'bool', score: 'float64' }))
    expect(plan.outputColumns).toEqual(columns({ flagged: 'bool', value: 'float64' }))
  })

  test('a query that does not fit is told what the model takes, what the query gives, and what to do', async () => {
    const registered = await registerFixture('test/fixtures/models/per-column.onnx')
    const query: Column[] = [
      { name: 'Amount', kind: 'float64' },
      { name: 'visits', kind: 'decimal', precision: 8, scale: 2, sqlType: 'numeric(8,2)' },
      { name: 'plan', kind: 'int32' },
    ]
    expect(problemsOf(matchColumns(registered.model, query))).toEqual([
      {
        code: 'columns_mismatch',
        pointer: '/input/query',
        detail:
          'the model takes amount: float32, visits: int64, plan: string; ' +
          'the query gives Amount: float64, visits: numeric(8,2), plan: int32. ' +
          'Missing: amount (there is Amount; write "Amount" AS amount). ' +
          'Wrong type: visits: numeric(8,2) cannot feed int64 (cast it: visits::bigint), ' +
          'plan: int32 cannot feed string (cast it: plan::text).',
      },
    ])
  })

  const fits: Record<string, readonly ColumnKind[]> = {
    float: ['int16', 'int32', 'int64', 'float32', 'float64', 'decimal', 'numeric'],
    int: ['int16', 'int32', 'int64'],
    bool: ['bool'],
    string: ['utf8', 'json', 'jsonb'],
  }
  const kinds: readonly ColumnKind[] = [
    ...['bool', 'int16', 'int32', 'int64', 'float32', 'float64', 'decimal', 'numeric', 'utf8'],
    ...['json', 'jsonb', 'binary', 'uuid', 'date', 'timestamp', 'timestamptz'],
  ] as ColumnKind[]

  test.each(TENSOR_TYPES)('%s takes just the kinds that fit', (type: TensorType) => {
    const accepted = kinds.filter(
      (kind) => 'plan' in matchColumns(model([{ name: 'x', type, shape: [-1] }]), [{ name: 'x', kind }]),
    )
    expect(accepted).toEqual(fits[type.replace(/^u?(int|float)\d+$/, '$1')])
  })

  test('a passing column with the name of a prediction is a conflict', async () => {
    const registered = await registerFixture('test/fixtures/models/linear.onnx')
    const query = columns({ a: 'float32', b: 'float32', c: 'float32', label: 'utf8' })
    expect(problemsOf(matchColumns(registered.model, query))).toEqual([
      { code: 'column_conflict', pointer: '/input/query', detail: expect.stringContaining('label AS label_in') },
    ])
  })

  test('two columns of one name, and two predictions of one name, are conflicts', () => {
    const vector = (name: string, ...shape: number[]): TensorSpec => ({ name, type: 'float32', shape: [-1, ...shape] })
    const twice = [...columns({ x: 'float32' }), ...columns({ x: 'float32' })]
    const found = problemsOf(matchColumns(model([vector('x')], [vector('p', 2), vector('p_0')]), twice))
    expect(found.map(({ code, pointer }) => [code, pointer])).toEqual([
      ['column_conflict', '/input/query'],
      ['column_conflict', '/model_id'],
    ])
  })

  test('an output whose width was never learnt is no plan', () => {
    const unresolved = model(
      [{ name: 'x', type: 'float32', shape: [-1] }],
      [{ name: 'y', type: 'float32', shape: [-1, -1] }],
    )
    expect(problemsOf(matchColumns(unresolved, columns({ x: 'float32' })))[0]?.code).toBe('unsupported_output')
  })
})

test('every tensor type has a column', () => {
  const found = TENSOR_TYPES.map((type) => predictionsOf([{ name: 'y', type, shape: [-1] }])[0]?.column)
  expect(found.map((column) => column?.kind)).toEqual([
    ...['float32', 'float64', 'float32', 'int16', 'int16', 'int16', 'int32', 'int32', 'int64', 'int64', 'decimal'],
    ...['bool', 'utf8'],
  ])
})

describe('selecting columns', () => {
  async function plan() {
    const registered = await registerFixture(churn)
    const query = columns({
      customer_id: 'int64',
      tenure: 'int32',
      monthly_charges: 'float64',
      total_charges: 'float64',
    })
    return planFor(registered.model, query)
  }

  test('null keeps all', async () => {
    const all = await plan()
    expect(expectNone(selectColumns(all, null)).plan).toBe(all)
  })

  test('only the named ones, in that order; features may be among them', async () => {
    const selected = expectNone(selectColumns(await plan(), ['probabilities_1', 'tenure', 'customer_id'])).plan
    expect(selected.outputColumns.map(({ name }) => name)).toEqual(['probabilities_1', 'tenure', 'customer_id'])
    expect(selected.passthrough).toEqual(['tenure', 'customer_id'])
  })

  test.each([
    [['score'], 'column_unknown', 'no column score; there are customer_id, tenure'],
    [['label', 'label'], 'column_conflict', 'label'],
    [[], 'column_unknown', 'at least one'],
  ])('%j is a problem', async (names, code, text) => {
    expect(problemsOf(selectColumns(await plan(), names))).toEqual([
      { code, pointer: '/output/columns', detail: expect.stringContaining(text) },
    ])
  })
})

describe('lists', () => {
  const [kinds, width] = [TENSOR_TYPES, 3]
  const wide = model(
    [{ name: 'x', type: 'float32', shape: [-1, 1] }],
    kinds.map((type) => ({ name: type, type, shape: [-1, width] })),
  )
  const plan = (query: Record<string, ColumnKind> = {}) => planFor(wide, columns({ x: 'float32', ...query }))
  const chosen = (names: string[], query?: Record<string, ColumnKind>) =>
    expectNone(selectColumns(plan(query), names)).plan.outputColumns

  test.each([
    ['float32', 'float32'],
    ['float64', 'float64'],
    ['float16', 'float32'],
    ['int8', 'int16'],
    ['uint16', 'int32'],
    ['uint32', 'int64'],
    ['int64', 'int64'],
  ] as const)('an output of %s by its own name is one column, a list of %s', (name, kind) => {
    expect(chosen([name])).toEqual([{ name, kind, length: 3 }])
  })

  test('beside its single columns, in the order that was asked for', () => {
    expect(chosen(['float32_2', 'float32', 'x', 'float32_0'])).toEqual([
      { name: 'float32_2', kind: 'float32' },
      { name: 'float32', kind: 'float32', length: 3 },
      { name: 'x', kind: 'float32' },
      { name: 'float32_0', kind: 'float32' },
    ])
  })

  test('nobody gets one who does not ask; an output [N, 1] is a plain column by its own name', async () => {
    expect(plan().outputColumns.every(({ length }) => length === undefined)).toBe(true)
    const { model: regressor } = await registerFixture('test/fixtures/models/regressor.onnx')
    const all = planFor(regressor, columns({ a: 'float32', b: 'float32' }))
    expect(expectNone(selectColumns(all, ['variable'])).plan.outputColumns).toEqual(all.outputColumns)
  })

  test.each(['bool', 'string', 'uint64'])('%s has no list; its columns are named instead', (name) => {
    expect(problemsOf(selectColumns(plan(), ['x', name]))).toEqual([
      {
        code: 'list_not_supported',
        pointer: '/output/columns',
        detail: `${name} has 3 elements of ${name} a row, and lists are of int16, int32, int64, float32, float64: name its columns instead, ${name}_0 … ${name}_2`,
      },
    ])
  })

  test('a name that nothing has is told with the lists that there are', () => {
    const [problem] = problemsOf(selectColumns(plan(), ['score']))
    expect(problem?.detail).toMatch(/no column score; there are x, .*float64_2, .*, float64/)
    expect(problem?.detail).not.toMatch(/\bbool(,|$)/)
  })

  test('a query column of that name passes where the list is not asked for, and is a conflict where it is', () => {
    const query = { float32: 'utf8', string: 'utf8' } as const
    expect(plan(query).passthrough).toEqual(['float32', 'string'])
    expect(chosen(['string', 'float32_0', 'float64'], query).map(({ kind }) => kind)).toEqual([
      'utf8',
      'float32',
      'float64',
    ])
    expect(problemsOf(selectColumns(plan(query), ['float32']))).toEqual([
      {
        code: 'column_conflict',
        pointer: '/output/columns',
        detail: expect.stringContaining('float32 is both a column of the query and an output of the model'),
      },
    ])
  })

  test('an accepted job’s columns are found again, by their names and whether they are lists', () => {
    const all = plan({ float32: 'utf8' })
    const scored = [...all.outputColumns, { name: 'float64', kind: 'float64', length: 3 } as const]
    const found = expectNone(selectScored(all, scored)).plan
    expect(found.outputColumns).toEqual(scored)
    expect(found.outputs[0]).toMatchObject({ from: 'query' })
    expect(problemsOf(selectScored(all, [{ name: 'bool', kind: 'bool', length: 3 }]))[0]?.detail).toContain('bool')
  })
})

describe('features', () => {
  const matrix = (width: number): TensorSpec[] => [{ name: 'x', type: 'float32', shape: [-1, width] }]
  const check = (inputs: TensorSpec[], features?: string[]) => validateFeatures({ inputs, outputs: [] }, features)

  test.each(Object.entries(MODELS))('%s is registered with %j', async (file, features) => {
    const { signature } = await openSession(modelBytes(file))
    expect(validateFeatures(signature, features)).toEqual({ features: features ?? [] })
  })

  test('names are trimmed; an open width takes as many as there are', () => {
    expect(check(matrix(-1), [' a', 'b '])).toEqual({ features: ['a', 'b'] })
  })

  test('a single [N, 1] input takes its own name or one feature', () => {
    expect(check(matrix(1))).toEqual({ features: [] })
    expect(check(matrix(1), ['a'])).toEqual({ features: ['a'] })
  })

  test.each([
    ['none given', matrix(3), undefined, '/features', 'needs ?features=, the 3 query columns in the order'],
    ['too few', matrix(3), ['a', 'b'], '/features', 'takes 3 features, got 2: a, b'],
    ['one twice', matrix(2), ['a', 'a'], '/features', 'got a more than once'],
    ['an empty name', matrix(2), ['a', ''], '/features', 'must not be empty'],
    [
      'one input per column',
      [...matrix(1), { name: 'y', type: 'string', shape: [-1] }],
      ['a'],
      '/features',
      'by name (x, y)',
    ],
    [
      'several matrices',
      [...matrix(2), { name: 'y', type: 'float32', shape: [-1, 2] }],
      undefined,
      '/inputs',
      'one of 2 inputs',
    ],
    ['an image', [{ name: 'x', type: 'float32', shape: [-1, 3, 8, 8] }], ['a'], '/inputs', '4 dimensions'],
    [
      'a fixed batch',
      [{ name: 'x', type: 'float32', shape: [1, 3] }],
      ['a', 'b', 'c'],
      '/inputs',
      'exactly 1 rows a run',
    ],
    ['no shape', [{ name: 'x', type: 'float32', shape: [] }], ['a'], '/inputs', 'does not tell its shape'],
    ['no inputs', [], undefined, '/inputs', 'no inputs'],
  ] as [string, TensorSpec[], string[] | undefined, string, string][])('%s', (_, inputs, features, pointer, text) => {
    const [problem] = problemsOf(check(inputs, features))
    expect(problem).toMatchObject({ pointer, detail: expect.stringContaining(text) })
  })
})

describe('probing outputs', () => {
  async function probed(inputShape: (number | string)[], outputShape: (number | string)[], features: string[]) {
    const session = await openSession(
      identityModel([
        {
          input: { name: 'x', type: 'float32', shape: inputShape },
          output: { name: 'y', type: 'float32', shape: outputShape },
        },
      ]),
    )
    return probeOutputs(session, features)
  }

  test('a width that the model leaves open is learnt', async () => {
    expect(await probed(['N', 'F'], ['N', 'K'], ['a', 'b', 'c'])).toEqual({
      outputs: [{ name: 'y', type: 'float32', shape: [-1, 3] }],
    })
  })

  test.each([
    ['a sum over the rows', 'ReduceSum', [1, 1]],
    ['a number of rows', 'Shape', [2]],
    ['three dimensions', 'Unsqueeze', [1, 'N', 2]],
  ])('%s is no prediction for each row', async (_, op, shape) => {
    const type = op === 'Shape' ? 'int64' : 'float32'
    const bytes = onnxModel({
      inputs: [{ name: 'x', type: 'float32', shape: ['N', 2] }],
      outputs: [{ name: 'y', type, shape }],
      nodes:
        op === 'Unsqueeze'
          ? [
              { op: 'Shape', inputs: ['x'], outputs: ['s'] },
              { op: 'Size', inputs: ['s'], outputs: ['two'] },
              { op: 'Sub', inputs: ['two', 'two'], outputs: ['zero'] },
              { op: 'Unsqueeze', inputs: ['zero', 'zero'], outputs: ['axis'] },
              { op: 'Unsqueeze', inputs: ['x', 'axis'], outputs: ['y'] },
            ]
          : [{ op, inputs: ['x'], outputs: ['y'] }],
    })
    const session = await openSession(bytes)
    expect(problemsOf(await probeOutputs(session, ['a', 'b']))).toEqual([
      {
        code: 'unsupported_output',
        pointer: '/outputs',
        detail: expect.stringContaining('one prediction for each row'),
      },
    ])
  })

  test('a model that refuses zeros and ones keeps what it declares', async () => {
    const session = await openSession(modelBytes('test/fixtures/models/picky.onnx'))
    const refusing = {
      ...session,
      run: async () => session.run({ x: { type: 'float32', dims: [1, 2], data: Float32Array.of(666, 0) } }),
    }
    expect(await probeOutputs(refusing, ['a', 'b'])).toEqual({ outputs: [{ name: 'y', type: 'float32', shape: [-1] }] })
    const open = {
      ...refusing,
      signature: { ...session.signature, outputs: [{ name: 'y', type: 'float32' as const, shape: [-1, -1] }] },
    }
    expect(problemsOf(await probeOutputs(open, ['a', 'b']))[0]?.detail).toContain('out of data bounds')
  })
})
