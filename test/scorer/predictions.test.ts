// Rows taken out of a model's outputs, for every storage that a tensor has.
import { expect, test } from 'vitest'
import { takeOutputs } from '../../src/scorer/predictions.ts'

test('rows of outputs keep their type, their width and their order', () => {
  const rows = Int32Array.of(0, 2, 3)
  const taken = takeOutputs(
    {
      score: { type: 'float32', dims: [4, 2], data: Float32Array.of(1, 2, 3, 4, Number.NaN, 6, 7, 8) },
      label: { type: 'int64', dims: [4], data: BigInt64Array.of(1n, 2n, -3n, 4n) },
      count: { type: 'uint64', dims: [4, 1], data: BigUint64Array.of(1n, 2n, 3n, 2n ** 64n - 1n) },
      flag: { type: 'bool', dims: [4], data: Uint8Array.of(1, 0, 0, 1) },
      name: { type: 'string', dims: [4, 2], data: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] },
    },
    rows,
  )
  expect(taken).toEqual({
    score: { type: 'float32', dims: [3, 2], data: Float32Array.of(1, 2, Number.NaN, 6, 7, 8) },
    label: { type: 'int64', dims: [3], data: BigInt64Array.of(1n, -3n, 4n) },
    count: { type: 'uint64', dims: [3, 1], data: BigUint64Array.of(1n, 3n, 2n ** 64n - 1n) },
    flag: { type: 'bool', dims: [3], data: Uint8Array.of(1, 0, 1) },
    name: { type: 'string', dims: [3, 2], data: ['a', 'b', 'e', 'f', 'g', 'h'] },
  })
  expect(takeOutputs(taken, new Int32Array(0)).name).toEqual({ type: 'string', dims: [0, 2], data: [] })
})
