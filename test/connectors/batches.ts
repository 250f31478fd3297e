// Batches made by hand: values as JavaScript has them, laid out as Arrow's buffers.
import { type Column, type ColumnBatch, isVariable, type Vector } from '../../topics/columns.ts'

/** A value as text, number, bigint, boolean or bytes, whichever its kind needs; null for NULL. */
export type Value = string | number | bigint | boolean | Uint8Array | null

/** A batch of these columns; `rows[r][c]`. */
export function batchOf(columns: readonly Column[], rows: readonly (readonly Value[])[]): ColumnBatch {
  const vectors = columns.map((column, c) =>
    vectorOf(
      column,
      rows.map((row) => row[c] ?? null),
    ),
  )
  return { columns, vectors, rows: rows.length }
}

function vectorOf(column: Column, values: readonly Value[]): Vector {
  const nullCount = values.filter((value) => value === null).length
  const validity = nullCount === 0 ? null : bits(values.map((value) => value !== null))
  if (isVariable(column.kind)) {
    const bytes = values.map((value) => (value === null ? Buffer.alloc(0) : Buffer.from(value as string)))
    const offsets = new Int32Array(values.length + 1)
    bytes.forEach((item, i) => {
      offsets[i + 1] = (offsets[i] as number) + item.length
    })
    return { validity, nullCount, offsets, data: Buffer.concat(bytes) }
  }
  return { validity, nullCount, values: fixedValues(column, values) }
}

function fixedValues(column: Column, values: readonly Value[]) {
  const numbers = () => values.map((value) => (value ?? 0) as number)
  switch (column.kind) {
    case 'bool':
      return bits(values.map((value) => value === true))
    case 'int16':
      return Int16Array.from(numbers())
    case 'int32':
    case 'date':
      return Int32Array.from(numbers())
    case 'float32':
      return Float32Array.from(numbers())
    case 'float64':
      return Float64Array.from(numbers())
    case 'decimal': {
      const out = Buffer.alloc(values.length * 16)
      values.forEach((value, row) => {
        const unscaled = (value ?? 0n) as bigint
        out.writeBigUInt64LE(BigInt.asUintN(64, unscaled), row * 16)
        out.writeBigInt64LE(BigInt.asIntN(64, unscaled >> 64n), row * 16 + 8)
      })
      return out
    }
    case 'uuid':
      return Buffer.concat(
        values.map((value) =>
          value === null ? Buffer.alloc(16) : Buffer.from((value as string).replaceAll('-', ''), 'hex'),
        ),
      )
    default:
      return BigInt64Array.from(values.map((value) => (value ?? 0n) as bigint))
  }
}

function bits(values: readonly boolean[]): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(values.length / 8))
  values.forEach((value, i) => {
    if (value) bitmap[i >> 3] = (bitmap[i >> 3] as number) | (1 << (i & 7))
  })
  return bitmap
}
