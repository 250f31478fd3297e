// takeRows against plain arrays, for every kind.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rowsWithout, takeRows } from '../../topics/take-rows.ts'
import { anyValue, KINDS, valuesOf, vectorOf } from './vectors.ts'

test.each(KINDS)('%s: the taken rows are the values at those rows, NULLs included', (kind) => {
  const cases = fc
    .array(anyValue(kind), { minLength: 1, maxLength: 40 })
    .chain((values) => fc.tuple(fc.constant(values), fc.array(fc.nat(values.length - 1), { maxLength: 60 })))
  fc.assert(
    fc.property(cases, ([values, rows]) => {
      const vector = vectorOf(kind, values)
      const taken = takeRows(vector, kind, Int32Array.from(rows))
      const expected = rows.map((row) => values[row] ?? null)
      expect(valuesOf(kind, taken, rows.length)).toEqual(expected)
      expect(taken.nullCount).toBe(expected.filter((value) => value === null).length)
      expect(taken.validity === null).toBe(taken.nullCount === 0)
      expect(valuesOf(kind, vector, values.length)).toEqual(values)
    }),
  )
})

test('rowsWithout leaves just the others, in order', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 50 }), (leave) => {
      const all = leave.map((_, row) => row)
      expect([
        ...rowsWithout(
          all.length,
          all.filter((row) => leave[row]),
        ),
      ]).toEqual(all.filter((row) => !leave[row]))
    }),
  )
})
