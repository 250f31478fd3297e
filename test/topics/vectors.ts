// Vectors of every kind from plain values and back, for tests: what readers and sinks do at speed, here in the plainest way.
import fc from 'fast-check'
import {
  COLUMN_KINDS,
  type Column,
  type ColumnBatch,
  type ColumnKind,
  isNull,
  isVariable,
  type Vector,
} from '../../topics/columns.ts'

/**
 * A value of a column: bool → boolean; int16, int32, date, floats → number; int64, timestamps, decimal (unscaled) → bigint;
 * text kinds → string; binary, uuid → hexadecimal string.
 */
export type Value = boolean | number | bigint | string | null

export const KINDS: readonly ColumnKind[] = COLUMN_KINDS

export function vectorOf(kind: ColumnKind, values: readonly Value[]): Vector {
  const nullCount = values.filter((value) => value === null).length
  const validity = nullCount > 0 ? bitmap(values.map((value) => value !== null)) : null
  if (isVariable(kind)) {
    const cells = values.map((value) => Buffer.from((value ?? '') as string, kind === 'binary' ? 'hex' : 'utf8'))
    const offsets = new Int32Array(values.length + 1)
    cells.forEach((cell, i) => {
      offsets[i + 1] = (offsets[i] as number) + cell.length
    })
    return { validity, nullCount, offsets, data: new Uint8Array(Buffer.concat(cells)) }
  }
  return { validity, nullCount, values: fixedValues(kind, values) }
}

export function valuesOf(kind: ColumnKind, vector: Vector, rows: number): Value[] {
  return Array.from({ length: rows }, (_, row) => {
    if (isNull(vector, row)) return null
    if ('offsets' in vector) {
      const bytes = Buffer.from(vector.data).subarray(vector.offsets[row], vector.offsets[row + 1])
      return bytes.toString(kind === 'binary' ? 'hex' : 'utf8')
    }
    const { values } = vector
    if (kind === 'bool') return (((values[row >> 3] as number) >> (row & 7)) & 1) === 1
    if (kind === 'uuid')
      return Buffer.from(values as Uint8Array)
        .subarray(row * 16, row * 16 + 16)
        .toString('hex')
    if (kind === 'decimal') {
      const view = new DataView((values as Uint8Array).slice(row * 16, row * 16 + 16).buffer)
      return (view.getBigInt64(8, true) << 64n) | view.getBigUint64(0, true)
    }
    return values[row] as number | bigint
  })
}

/** A batch from columns of plain values. */
export function batchOf(columns: readonly (Column & { values: readonly Value[] })[]): ColumnBatch {
  return {
    columns: columns.map(({ values, ...column }) => column),
    vectors: columns.map(({ kind, values }) => vectorOf(kind, values)),
    rows: columns[0]?.values.length ?? 0,
  }
}

/** Any value of a kind, NULL now and then. */
export function anyValue(kind: ColumnKind): fc.Arbitrary<Value> {
  return fc.option(anyPresent(kind), { nil: null, freq: 4 })
}

/** Any value of a kind but NULL. */
export function anyPresent(kind: ColumnKind): fc.Arbitrary<Value> {
  switch (kind) {
    case 'bool':
      return fc.boolean()
    case 'int16':
      return fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 })
    case 'int32':
    case 'date':
      return fc.integer()
    case 'int64':
    case 'timestamp':
    case 'timestamptz':
      return fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })
    case 'float32':
      return fc.float()
    case 'float64':
      return fc.double()
    case 'decimal':
      return fc.bigInt({ min: -(1n << 127n), max: (1n << 127n) - 1n })
    case 'binary':
      return hex(0, 20)
    case 'uuid':
      return hex(16, 16)
    default:
      return fc.string({ unit: 'grapheme', maxLength: 12 })
  }
}

function hex(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString('hex'))
}

function fixedValues(kind: ColumnKind, values: readonly Value[]) {
  switch (kind) {
    case 'bool':
      return bitmap(values.map((value) => value === true))
    case 'int16':
      return Int16Array.from(values, (value) => Number(value))
    case 'int32':
    case 'date':
      return Int32Array.from(values, (value) => Number(value))
    case 'float32':
      return Float32Array.from(values, (value) => Number(value))
    case 'float64':
      return Float64Array.from(values, (value) => Number(value))
    case 'uuid':
      return new Uint8Array(
        Buffer.concat(values.map((value) => Buffer.from((value ?? '00'.repeat(16)) as string, 'hex'))),
      )
    case 'decimal': {
      const words = new BigUint64Array(values.length * 2)
      values.forEach((value, i) => {
        const unscaled = BigInt.asUintN(128, (value ?? 0n) as bigint)
        words[i * 2] = unscaled & 0xffff_ffff_ffff_ffffn
        words[i * 2 + 1] = unscaled >> 64n
      })
      return new Uint8Array(words.buffer)
    }
    default:
      return BigInt64Array.from(values, (value) => (value ?? 0n) as bigint)
  }
}

function bitmap(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array((bits.length + 7) >> 3)
  bits.forEach((bit, i) => {
    if (bit) bytes[i >> 3] = (bytes[i >> 3] as number) | (1 << (i & 7))
  })
  return bytes
}
