// Scoring chunks with real models: the same predictions as ONNX Runtime alone, bad rows set aside, others untouched.

import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { describe, expect, test } from 'vitest'
import { ModelError, type Tensors } from '../../src/model/model.ts'
import { matchColumns, type ScoringPlan, selectColumns } from '../../src/model/signature.ts'
import { scoreChunk } from '../../src/scorer/score-chunk.ts'
import { type Column, type ColumnBatch, fixed, type Vector } from '../../topics/columns.ts'
import { TENSOR_TYPES, type TensorType } from '../../topics/models.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import { expectNone, type MODELS, modelBytes, type Registered, register, registerFixture } from '../model/fixtures.ts'
import { identityModel } from '../model/onnx-writer.ts'
import { batchOf, type Value, valuesOf } from '../topics/vectors.ts'

function planFor({ model }: Registered, batch: ColumnBatch): ScoringPlan {
  return expectNone(matchColumns(model, batch.columns)).plan
}

/** A batch as plain columns, by name. */
function plain(batch: ColumnBatch): Record<string, Value[]> {
  return Object.fromEntries(
    batch.columns.map(({ name, kind }, i) => [name, valuesOf(kind, batch.vectors[i] as never, batch.rows)]),
  )
}

async function score(file: keyof typeof MODELS, batch: ColumnBatch) {
  const registered = await registerFixture(file)
  const result = await scoreChunk(registered.session, planFor(registered, batch), batch)
  return { ...result, values: plain(result.batch) }
}

/**
 * ONNX Runtime without anything of ours in between; elements of an output by name. One thread, as in openSession: the
 * last digit of a sum over trees depends on how many threads share it.
 */
async function direct(file: string, feeds: Record<string, OrtTensor>) {
  const session = await InferenceSession.create(modelBytes(file), { intraOpNumThreads: 1 })
  const outputs = await session.run(feeds)
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Iterable<Value>)]] as const),
  )
}

/** Every other element: a column of a row-major [N, 2]. */
function half(elements: readonly Value[] | undefined, index: 0 | 1): Value[] | undefined {
  return elements?.filter((_, i) => i % 2 === index)
}

const random = (() => {
  let state = 12345
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 31
  }
})()

describe('predictions are those of ONNX Runtime', () => {
  test.each([1, 7, 1000])('one float tensor, %d rows', async (rows) => {
    const tenure = Array.from({ length: rows }, () => Math.floor(random() * 72))
    const cents = Array.from({ length: rows }, () => BigInt(Math.floor(random() * 10_000)))
    const total = Array.from({ length: rows }, () => random() * 8000)
    const batch = batchOf([
      { name: 'customer_id', kind: 'int64', values: tenure.map((_, i) => BigInt(i) + (1n << 60n)) },
      { name: 'tenure', kind: 'int32', values: tenure },
      { name: 'monthly_charges', kind: 'decimal', precision: 8, scale: 2, values: cents },
      { name: 'total_charges', kind: 'float64', values: total },
    ])
    const { batch: scored, values, failed } = await score('examples/churn/churn.onnx', batch)

    const data = Float32Array.from(tenure.flatMap((_, i) => [tenure[i], Number(cents[i]) / 100, total[i]] as number[]))
    const expected = await direct('examples/churn/churn.onnx', { input: new OrtTensor('float32', data, [rows, 3]) })
    expect(failed).toEqual([])
    expect(values.label).toEqual(expected.label)
    expect(values.probabilities_0).toEqual(half(expected.probabilities, 0))
    expect(values.probabilities_1).toEqual(half(expected.probabilities, 1))
    // What passes through is the very vector, and the result survives the wire.
    expect(scored.vectors[0]).toBe(batch.vectors[0])
    expect(plain(decodeColumns(encodeColumns(scored)))).toEqual(values)
  })

  test('a linear classifier and a regressor', async () => {
    const abc = [
      [2, -2, 0],
      [-2, 2, 0],
    ]
    const { values } = await score(
      'test/fixtures/models/linear.onnx',
      batchOf(
        ['a', 'b', 'c'].map((name, i) => ({ name, kind: 'float32', values: abc.map((row) => row[i] as number) })),
      ),
    )
    const expected = await direct('test/fixtures/models/linear.onnx', {
      features: new OrtTensor('float32', Float32Array.from(abc.flat()), [2, 3]),
    })
    expect(values.label).toEqual([1n, 0n])
    expect(values.probabilities_1).toEqual(half(expected.probabilities, 1))

    const regressed = await score(
      'test/fixtures/models/regressor.onnx',
      batchOf([
        { name: 'a', kind: 'float64', values: [1, 0] },
        { name: 'b', kind: 'int16', values: [1, 2] },
      ]),
    )
    expect(regressed.values.variable).toEqual([expect.closeTo(0, 3), expect.closeTo(-5, 3)])
  })

  test('one input per column, strings in and out, from a batch that came over the wire', async () => {
    const amount = [190, 10, 10, 55]
    const visits = [0n, 25n, 25n, 3n]
    const plans = ['basic', 'pro', 'nie gesehen: ü', 'plus']
    const batch = batchOf([
      { name: 'plan', kind: 'utf8', values: plans },
      { name: 'visits', kind: 'int64', values: visits },
      { name: 'note', kind: 'jsonb', values: ['{"a":1}', null, '[]', '2'] },
      { name: 'amount', kind: 'float32', values: amount },
    ])
    const { values } = await score('test/fixtures/models/per-column.onnx', decodeColumns(encodeColumns(batch)))
    const expected = await direct('test/fixtures/models/per-column.onnx', {
      amount: new OrtTensor('float32', Float32Array.from(amount), [4, 1]),
      visits: new OrtTensor('int64', BigInt64Array.from(visits), [4, 1]),
      plan: new OrtTensor('string', plans, [4, 1]),
    })
    expect(Object.keys(values)).toEqual(['note', 'label', 'probabilities_0', 'probabilities_1'])
    expect(values.note).toEqual(['{"a":1}', null, '[]', '2'])
    expect(values.label).toEqual(expected.label)
    expect(values.probabilities_0).toEqual(half(expected.probabilities, 0))
  })

  test('booleans in and out', async () => {
    const batch = batchOf([
      { name: 'active', kind: 'bool', values: [true, true, false, true, true, true, true, true, true] },
      { name: 'score', kind: 'float64', values: [0.6, 0.5, 0.9, 1, 0, 1, 0, 1, 1] },
    ])
    const { values } = await score('test/fixtures/models/booleans.onnx', batch)
    expect(values).toEqual({
      flagged: [true, false, false, true, false, true, false, true, true],
      value: [1.2, 1, 1.8, 2, 0, 2, 0, 2, 2],
    })
  })

  test.each(TENSOR_TYPES)('%s outputs of [N, 2] become two columns', async (type) => {
    const value = { type, shape: ['N', 2] }
    const registered = await register(
      identityModel([{ input: { name: 'x', ...value }, output: { name: 'y', ...value } }]),
      ['a', 'b'],
    )
    const batch =
      type === 'string'
        ? batchOf([
            { name: 'a', kind: 'utf8', values: ['ä', '', 'z'] },
            { name: 'b', kind: 'utf8', values: ['1', '22', '333'] },
          ])
        : type === 'bool'
          ? batchOf([
              { name: 'a', kind: 'bool', values: [true, false, true] },
              { name: 'b', kind: 'bool', values: [false, false, true] },
            ])
          : batchOf([
              { name: 'a', kind: 'int16', values: [0, 1, 127] },
              { name: 'b', kind: 'int16', values: [2, 3, 4] },
            ])
    const scored = await scoreChunk(registered.session, planFor(registered, batch), batch)
    const [a, b] = batch.columns.map((column, i) => valuesOf(column.kind, batch.vectors[i] as never, 3))
    const asText = (values: Value[] | undefined) => values?.map(String)
    const { y_0, y_1 } = plain(decodeColumns(encodeColumns(scored.batch)))
    expect([asText(y_0), asText(y_1)]).toEqual([asText(a), asText(b)])
  })
})

describe('rows that cannot be scored', () => {
  const file = 'test/fixtures/models/picky.onnx'
  const picky = (firsts: readonly (number | null)[]) =>
    batchOf([
      { name: 'id', kind: 'int64', values: firsts.map((_, i) => BigInt(i)) },
      { name: 'a', kind: 'float64', values: firsts },
      { name: 'b', kind: 'float64', values: firsts.map(() => 0.5) },
    ])

  test.each([
    ['the only row', 1, [0]],
    ['the first and the last', 100, [0, 99]],
    ['neighbours', 64, [31, 32]],
    ['some of many', 1000, [3, 4, 500, 777]],
    ['none', 10, []],
    ['every row', 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]],
  ])('a failing run is bisected: %s', async (_, rows, poisoned) => {
    const firsts = Array.from({ length: rows }, (_, i) => (poisoned.includes(i) ? 666 : i % 50))
    const { batch, failed, values } = await score(file, picky(firsts))
    expect(failed.map(({ row }) => row)).toEqual(poisoned)
    for (const { row, reason, input } of failed) {
      expect(reason).toContain('out of data bounds')
      expect(input).toEqual({ id: String(row), a: '666', b: '0.5' })
    }
    const left = firsts.flatMap((first, i) => (poisoned.includes(i) ? [] : [[BigInt(i), first + 0.5] as const]))
    expect(values).toEqual({ id: left.map(([id]) => id), y: left.map(([, y]) => y) })
    expect(batch.rows).toBe(left.length)
  })

  test('one bad row among 1,000 takes about 2 log2 n runs more', async () => {
    const registered = await registerFixture(file)
    const batch = picky(Array.from({ length: 1000 }, (_, i) => (i === 617 ? 666 : 1)))
    let runs = 0
    const counting = {
      ...registered.session,
      run: (feeds: Tensors, fetches?: readonly string[]) => {
        runs++
        return registered.session.run(feeds, fetches)
      },
    }
    await scoreChunk(counting, planFor(registered, batch), batch)
    expect(runs).toBeLessThanOrEqual(21)
  })

  test('NULL is NaN in a floating-point feature, and fails the row in any other; so does a prediction that is NaN', async () => {
    const batch = batchOf([
      { name: 'amount', kind: 'float64', values: [10, null, 30, 40] },
      { name: 'visits', kind: 'int32', values: [1, 2, null, 4] },
      { name: 'plan', kind: 'utf8', values: ['pro', 'pro', null, null] },
    ])
    const { values, failed } = await score('test/fixtures/models/per-column.onnx', batch)
    expect(failed).toEqual([
      {
        row: 1,
        reason: "output_nan: the model's prediction probabilities_0 is NaN",
        input: { amount: null, visits: '2', plan: 'pro' },
      },
      { row: 2, reason: expect.stringContaining('visits is NULL'), input: { amount: '30', visits: null, plan: null } },
      { row: 3, reason: expect.stringContaining('plan is NULL'), input: { amount: '40', visits: '4', plan: null } },
    ])
    expect(values.label).toHaveLength(1)
    expect(values.probabilities_0).toEqual([expect.closeTo(values.probabilities_0?.[0] as number, 6)])
  })

  test('rows left out before the run keep their positions when others fail in it', async () => {
    const value = { type: 'int32', shape: ['N'] } as const
    const registered = await register(
      identityModel([{ input: { name: 'n', ...value }, output: { name: 'y', ...value } }]),
    )
    const refusing = {
      ...registered.session,
      run: async (feeds: Tensors, fetches?: readonly string[]) => {
        if (feeds.n && [...feeds.n.data].includes(13)) throw new ModelError('run_failed', 'thirteen')
        return registered.session.run(feeds, fetches)
      },
    }
    const batch = batchOf([{ name: 'n', kind: 'int64', values: [1n, null, 13n, 1n << 40n, 5n, 13n, 7n] }])
    const { batch: scored, failed } = await scoreChunk(refusing, planFor(registered, batch), batch)
    expect(failed.map(({ row, reason }) => [row, reason])).toEqual([
      [1, expect.stringContaining('NULL')],
      [2, 'thirteen'],
      [3, expect.stringContaining('1099511627776 does not fit')],
      [5, 'thirteen'],
    ])
    expect(plain(scored)).toEqual({ y: [1, 5, 7] })
  })

  test('a chunk without rows is scored to one without rows', async () => {
    const { batch, failed } = await score(file, picky([]))
    expect({ rows: batch.rows, failed }).toEqual({ rows: 0, failed: [] })
    expect(plain(decodeColumns(encodeColumns(batch)))).toEqual({ id: [], y: [] })
  })
})

describe('a prediction that is NaN', () => {
  const NAN = Number.NaN
  const matrix = async (type: TensorType, names = ['y_0', 'y_1']) => {
    const value = { type, shape: ['N', 2] }
    const registered = await register(
      identityModel([{ input: { name: 'x', ...value }, output: { name: 'y', ...value } }]),
      ['a', 'b'],
    )
    const batch = batchOf([
      { name: 'a', kind: 'float64', values: [0, NAN, 2, Number.POSITIVE_INFINITY, 4, NAN] },
      { name: 'b', kind: 'float64', values: [0, 1, NAN, Number.NEGATIVE_INFINITY, 4, NAN] },
    ])
    const { plan } = expectNone(selectColumns(planFor(registered, batch), names))
    const { batch: scored, failed } = await scoreChunk(registered.session, plan, batch)
    return {
      values: plain(scored),
      failed: failed.map(({ row, reason }) => [row, /prediction (\S+)/.exec(reason)?.[1]]),
    }
  }

  test.each(['float32', 'float64', 'float16'] as const)(
    'of %s fails its row, naming the column; infinities are numbers',
    async (type) => {
      const { values, failed } = await matrix(type)
      expect(failed).toEqual([
        [1, 'y_0'],
        [2, 'y_1'],
        [5, 'y_0'],
      ])
      expect(values).toEqual({
        y_0: [0, Number.POSITIVE_INFINITY, 4],
        y_1: [0, Number.NEGATIVE_INFINITY, 4],
      })
    },
  )

  test('counts only in the columns of the result; without predictions in it, in any', async () => {
    expect((await matrix('float32', ['y_1', 'a'])).failed.map(([row]) => row)).toEqual([2, 5])
    expect((await matrix('float32', ['a'])).failed.map(([row]) => row)).toEqual([1, 2, 5])
    expect((await matrix('float32', ['y'])).failed).toEqual([
      [1, 'y'],
      [2, 'y'],
      [5, 'y'],
    ])
  })

  test('is found in rows that were halved, and where no row is left', async () => {
    const file = 'test/fixtures/models/picky.onnx'
    const rows = [1, NAN, 666, 4, NAN, 666, 7]
    const { values, failed } = await score(
      file,
      batchOf([
        { name: 'a', kind: 'float32', values: rows },
        { name: 'b', kind: 'float32', values: rows.map(() => 1) },
      ]),
    )
    expect(failed.map(({ row, reason }) => [row, reason.slice(0, 10)])).toEqual([
      [1, 'output_nan'],
      [2, expect.not.stringContaining('nan')],
      [4, 'output_nan'],
      [5, expect.not.stringContaining('nan')],
    ])
    expect(values).toEqual({ y: [2, 5, 8] })
    const none = batchOf(['a', 'b'].map((name) => ({ name, kind: 'float32', values: [NAN, NAN] })))
    expect((await score(file, none)).batch.rows).toBe(0)
  })
})

describe('a bound on the rows of a run', () => {
  test('gives the same rows in several runs, with those that fail in their places', async () => {
    const registered = await registerFixture('test/fixtures/models/picky.onnx')
    const a = Array.from({ length: 100 }, (_, i) => (i % 40 === 7 ? 666 : i % 50 === 3 ? Number.NaN : i))
    const batch = batchOf([
      { name: 'a', kind: 'float32', values: a },
      { name: 'b', kind: 'float32', values: a.map(() => 0.5) },
      { name: 'id', kind: 'int32', values: a.map((_, i) => i) },
    ])
    const sizes: number[] = []
    const bound = {
      rows: (left: number) => Math.min(left, 1 + 7 * sizes.length),
      run: <T>(rows: number, run: () => Promise<T>) => {
        sizes.push(rows)
        return run()
      },
    }
    const plan = planFor(registered, batch)
    const whole = await scoreChunk(registered.session, plan, batch)
    const parts = await scoreChunk(registered.session, plan, batch, bound)
    expect(plain(parts.batch)).toEqual(plain(whole.batch))
    expect(parts.failed).toEqual(whole.failed)
    expect(parts.failed.map(({ row }) => row)).toEqual([3, 7, 47, 53, 87])
    expect(sizes.slice(0, 2)).toEqual([1, 8])
  })
})

describe('what is no row’s fault', () => {
  const batch = batchOf([
    { name: 'a', kind: 'float32', values: [1, 2] },
    { name: 'b', kind: 'float32', values: [1, 2] },
  ])

  async function scoreWith(run: (feeds: Tensors) => Promise<Tensors>) {
    const registered = await registerFixture('test/fixtures/models/picky.onnx')
    return scoreChunk({ ...registered.session, run }, planFor(registered, batch), batch)
  }

  test.each([
    ['fewer rows', [1], 1],
    ['more columns', [2, 2], 4],
    ['another rank', [2, 1, 1], 2],
  ])('%s than expected: output_shape', async (_, dims, length) => {
    const run = async () => ({ y: { type: 'float32' as const, dims, data: new Float32Array(length) } })
    await expect(scoreWith(run)).rejects.toMatchObject({
      code: 'output_shape',
      message: expect.stringContaining('output y: expected float32[2] or [2, 1] for 2 rows'),
    })
  })

  test('a released session is not blamed on rows', async () => {
    const registered = await registerFixture('test/fixtures/models/picky.onnx')
    await registered.session.release()
    await expect(scoreChunk(registered.session, planFor(registered, batch), batch)).rejects.toMatchObject({
      code: 'session_released',
    })
  })

  test('memory that does not do for one row fails the job; for a batch it is halved', async () => {
    const registered = await registerFixture('test/fixtures/models/picky.onnx')
    const tight = (most: number) => async (feeds: Tensors) => {
      if ((feeds.x?.dims[0] ?? 0) > most) throw new ModelError('out_of_memory', 'bad_alloc')
      return registered.session.run(feeds)
    }
    expect((await scoreWith(tight(1))).failed).toEqual([])
    await expect(scoreWith(tight(0))).rejects.toMatchObject({ code: 'out_of_memory' })
  })
})

describe('lists', () => {
  const pair = (type: TensorType) => {
    const value = { type, shape: ['N', 2] }
    return register(identityModel([{ input: { name: 'x', ...value }, output: { name: 'y', ...value } }]), ['a', 'b'])
  }
  const chosen = (registered: Registered, batch: ColumnBatch, names: string[]) =>
    expectNone(selectColumns(planFor(registered, batch), names)).plan
  const elements = ({ columns, vectors, rows }: ColumnBatch) => {
    const [{ name, kind, length }] = columns as [Column]
    expect({ name, length }).toEqual({ name: 'y', length: 2 })
    return valuesOf(kind, vectors[0] as Vector, rows * 2)
  }

  test.each(TENSOR_TYPES.filter((type) => !['bool', 'string', 'uint64'].includes(type)))(
    '%s outputs of [N, 2] by their own name hold what their two columns do, row by row',
    async (type) => {
      const registered = await pair(type)
      const batch = batchOf([
        { name: 'a', kind: 'int16', values: [0, 1, 127] },
        { name: 'b', kind: 'int16', values: [2, 3, 4] },
      ])
      const plan = chosen(registered, batch, ['y', 'y_0', 'y_1'])
      const scored = await scoreChunk(registered.session, plan, batch)
      const { columns, vectors } = decodeColumns(encodeColumns(scored.batch))
      const [list, first, second] = columns.map(({ kind, length = 1 }, i) =>
        valuesOf(kind, vectors[i] as Vector, 3 * length),
      )
      expect(list).toEqual(first?.flatMap((value, row) => [value, second?.[row]]))
      expect(list?.map(Number)).toEqual([0, 2, 1, 3, 127, 4])
    },
  )

  test('a tensor of the column’s own type is the vector', async () => {
    const data = Float32Array.of(1, 2, 3, 4)
    const registered = await pair('float32')
    const batch = batchOf(['a', 'b'].map((name) => ({ name, kind: 'float32', values: [0, 0] })))
    const session = {
      ...registered.session,
      run: async () => ({ y: { type: 'float32' as const, dims: [2, 2], data } }),
    }
    const scored = await scoreChunk(session, chosen(registered, batch, ['y']), batch)
    expect(fixed(scored.batch.vectors[0] as Vector).values).toBe(data)
  })

  test('rows that are left out, before the run or in it, leave the others’ lists as they are', async () => {
    const registered = await pair('int32')
    const refusing = {
      ...registered.session,
      run: async (feeds: Tensors, fetches?: readonly string[]) => {
        if (feeds.x && [...feeds.x.data].includes(13)) throw new ModelError('run_failed', 'thirteen')
        return registered.session.run(feeds, fetches)
      },
    }
    const batch = batchOf([
      { name: 'a', kind: 'int32', values: [1, null, 13, 4, 5] },
      { name: 'b', kind: 'int32', values: [10, 20, 30, 40, 13] },
    ])
    const scored = await scoreChunk(refusing, chosen(registered, batch, ['y']), batch)
    expect(scored.failed.map(({ row }) => row)).toEqual([1, 2, 4])
    expect(elements(scored.batch)).toEqual([1, 10, 4, 40])
    const none = batchOf(['a', 'b'].map((name) => ({ name, kind: 'int32', values: [13] })))
    expect(elements((await scoreChunk(refusing, chosen(registered, none, ['y']), none)).batch)).toEqual([])
  })
})

test('only the chosen columns are computed and come out, in their order', async () => {
  const registered = await registerFixture('test/fixtures/models/linear.onnx')
  const batch = batchOf(['a', 'b', 'c', 'id'].map((name) => ({ name, kind: 'float32', values: [1, 2] })))
  const { plan } = expectNone(selectColumns(planFor(registered, batch), ['probabilities_1', 'id', 'a']))
  const fetched: (readonly string[] | undefined)[] = []
  const watching = {
    ...registered.session,
    run: (feeds: Tensors, fetches?: readonly string[]) => {
      fetched.push(fetches)
      return registered.session.run(feeds, fetches)
    },
  }
  const scored = await scoreChunk(watching, plan, batch)
  expect(Object.keys(plain(scored.batch))).toEqual(['probabilities_1', 'id', 'a'])
  expect(fetched).toEqual([['probabilities']])
})
