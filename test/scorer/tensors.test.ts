// Columns into tensors: every kind into every type that takes it, NULLs, ranges, and rows left out.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHalf } from '../../src/model/float16.ts'
import { matchColumns } from '../../src/model/signature.ts'
import { buildFeeds, unfitRows } from '../../src/scorer/tensors.ts'
import type { Column, ColumnKind } from '../../topics/columns.ts'
import type { TensorType } from '../../topics/models.ts'
import { expectNone } from '../model/fixtures.ts'
import { anyValue, batchOf, type Value } from '../topics/vectors.ts'

function planFor(type: TensorType, columns: readonly Column[]) {
  const names = columns.map(({ name }) => name)
  const shape = names.length === 1 ? [-1] : [-1, names.length]
  const model = {
    signature: { inputs: [{ name: names[0] ?? '', type, shape }], outputs: [] },
    features: names.length === 1 ? [] : names,
  }
  return expectNone(matchColumns(model, columns)).plan
}

/** The elements of the one input made from one column. */
function fed(type: TensorType, column: Omit<Column, 'name'>, values: readonly Value[], rows: number[] | null = null) {
  const batch = batchOf([{ name: 'x', ...column, values }])
  const { x } = buildFeeds(planFor(type, batch.columns), batch, rows && Int32Array.from(rows))
  return x?.data ?? []
}

function unfit(type: TensorType, kind: ColumnKind, values: readonly Value[]) {
  const batch = batchOf([{ name: 'x', kind, values }])
  return unfitRows(planFor(type, batch.columns), batch)
}

describe('floating-point inputs', () => {
  test.each(['int16', 'int32', 'int64', 'float32', 'float64'] as const)(
    '%s is rounded to the nearest; NULL is NaN',
    (kind) => {
      fc.assert(
        fc.property(fc.array(anyValue(kind), { maxLength: 30 }), (values) => {
          const doubles = values.map((value) => (value === null ? Number.NaN : Number(value)))
          expect([...fed('float64', { kind }, values)]).toEqual(doubles)
          expect([...fed('float32', { kind }, values)]).toEqual(doubles.map(Math.fround))
        }),
      )
    },
  )

  test('decimals become the nearest number, also beyond 64 bits; the smallest int128 is NaN', () => {
    fc.assert(
      fc.property(
        fc.array(anyValue('decimal'), { maxLength: 30 }),
        fc.integer({ min: 0, max: 38 }),
        (values, scale) => {
          const expected = values.map((value) =>
            value === null || value === -(1n << 127n) ? Number.NaN : Number(`${value}e-${scale}`),
          )
          expect([...fed('float64', { kind: 'decimal', precision: 38, scale }, values)]).toEqual(expected)
        },
      ),
    )
    expect([...fed('float64', { kind: 'decimal', precision: 10, scale: 2 }, [12345n, -5n, 0n, -(1n << 127n)])]).toEqual(
      [123.45, -0.05, 0, Number.NaN],
    )
  })

  test('numeric text is parsed to the nearest, however long', () => {
    const long = '-1234567890123456789.0123456789'
    const special = ['NaN', 'Infinity', '-Infinity', '0', '-0.5', long, '56.7300000000000000', null]
    expect([...fed('float64', { kind: 'numeric' }, special)]).toEqual([
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      0,
      -0.5,
      Number(long),
      56.73,
      Number.NaN,
    ])
    const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.stringMatching(/^\d{0,20}$/))
    fc.assert(
      fc.property(
        fc.array(decimal.map(([whole, digits]) => (digits ? `${whole}.${digits}` : `${whole}`))),
        (values) => {
          expect([...fed('float64', { kind: 'numeric' }, values)]).toEqual(values.map(Number))
        },
      ),
    )
  })

  test('half precision', () => {
    const data = fed('float16', { kind: 'float64' }, [1.5, -2, null, 70_000])
    expect([...fromHalf(data as Uint16Array)]).toEqual([1.5, -2, Number.NaN, Number.POSITIVE_INFINITY])
  })

  test('no row is unfit', () => {
    expect(unfit('float32', 'int64', [null, 1n << 62n])).toEqual([])
  })
})

describe('integer inputs', () => {
  const ranges: Partial<Record<TensorType, [bigint, bigint]>> = {
    int8: [-128n, 127n],
    uint8: [0n, 255n],
    int16: [-32_768n, 32_767n],
    uint16: [0n, 65_535n],
    int32: [-(1n << 31n), (1n << 31n) - 1n],
    uint32: [0n, (1n << 32n) - 1n],
    int64: [-(1n << 63n), (1n << 63n) - 1n],
    uint64: [0n, (1n << 64n) - 1n],
  }
  const near = fc
    .constantFrom(...[7n, 8n, 15n, 16n, 31n, 32n, 62n].map((bits) => 1n << bits))
    .chain((edge) =>
      fc.tuple(fc.constantFrom(edge, -edge, 0n), fc.bigInt({ min: -2n, max: 2n })).map(([at, by]) => at + by),
    )

  test.each(Object.entries(ranges) as [TensorType, [bigint, bigint]][])(
    '%s takes what is in its range',
    (type, [min, max]) => {
      fc.assert(
        fc.property(fc.array(fc.oneof(near, fc.constant(null)), { minLength: 1, maxLength: 30 }), (values) => {
          const fits = (value: bigint | null) => value !== null && value >= min && value <= max
          const rows = values.flatMap((value, row) => (fits(value) ? [row] : []))
          expect(unfit(type, 'int64', values).map(({ row }) => row)).toEqual(
            values.flatMap((value, row) => (fits(value) ? [] : [row])),
          )
          const elements = [...fed(type, { kind: 'int64' }, values, rows)]
          expect(elements.map((element) => BigInt(element))).toEqual(rows.map((row) => values[row]))
        }),
      )
    },
  )

  test.each(['int16', 'int32'] as const)('%s columns widen with their sign', (kind) => {
    expect([...fed('int64', { kind }, [-1, 0, 32_767])]).toEqual([-1n, 0n, 32_767n])
    expect([...fed('uint32', { kind }, [0, 32_767])]).toEqual([0, 32_767])
  })

  test('the reason names column, value and type', () => {
    expect(unfit('int16', 'int32', [1, 40_000, null])).toEqual([
      { row: 1, reason: "x = 40000 does not fit the model's int16" },
      { row: 2, reason: 'x is NULL: the model takes int16, and only floating-point features may be NULL' },
    ])
  })
})

test('booleans are a byte each, NULL is unfit', () => {
  const values = [true, false, true, true, false, false, true, false, true]
  expect([...fed('bool', { kind: 'bool' }, values)]).toEqual(values.map(Number))
  expect(unfit('bool', 'bool', [true, null]).map(({ row }) => row)).toEqual([1])
})

test.each(['utf8', 'json', 'jsonb'] as const)('%s becomes strings, NULL is unfit', (kind) => {
  fc.assert(
    fc.property(fc.array(anyValue(kind), { maxLength: 20 }), (values) => {
      const rows = values.flatMap((value, row) => (value === null ? [] : [row]))
      expect([...fed('string', { kind }, values, rows)]).toEqual(values.filter((value) => value !== null))
    }),
  )
  expect(unfit('string', kind, ['a', null]).map(({ row }) => row)).toEqual([1])
})

test('a matrix is row by row in the order of the features', () => {
  const batch = batchOf([
    { name: 'c', kind: 'numeric', values: ['30', '31'] },
    { name: 'a', kind: 'int64', values: [10n, null] },
    { name: 'b', kind: 'float32', values: [20, 21] },
  ])
  const plan = planFor('float32', [batch.columns[1], batch.columns[2], batch.columns[0]] as Column[])
  const { a } = buildFeeds(plan, batch, null)
  expect(a?.dims).toEqual([2, 3])
  expect([...(a?.data ?? [])]).toEqual([10, 20, 30, Number.NaN, 21, 31])
})

test('a column that is already what the model takes is not copied', () => {
  const batch = batchOf([{ name: 'x', kind: 'float64', values: [1, 2, 3] }])
  const { x } = buildFeeds(planFor('float64', batch.columns), batch, null)
  const [vector] = batch.vectors
  expect(x && vector && 'values' in vector && vector.values.buffer === (x.data as Float64Array).buffer).toBe(true)
})
