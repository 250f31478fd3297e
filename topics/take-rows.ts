// Some rows of a vector as a new vector: what is left of a chunk when rows of it cannot be scored.
import { type ColumnKind, type FixedVector, fixed, isNull, isVariable, type Vector, variable } from './columns.ts'

/** Rows `rows` of `vector`, in that order; a row may be taken more than once. The vector is only read. */
export function takeRows(vector: Vector, kind: ColumnKind, rows: Int32Array): Vector {
  const { validity, nullCount } = takeValidity(vector, rows)
  if (isVariable(kind)) return { validity, nullCount, ...takeBytes(vector, rows) }
  return { validity, nullCount, values: takeValues(fixed(vector).values, kind, rows) }
}

/** The rows of `0 … count - 1` that are not among `left`, which ascends. */
export function rowsWithout(count: number, left: readonly number[]): Int32Array {
  const rows = new Int32Array(count - left.length)
  let next = 0
  for (let row = 0, i = 0; row < count; row++) {
    if (left[i] === row) i++
    else rows[next++] = row
  }
  return rows
}

/** Sets bit `row` of an Arrow bitmap. */
export function setBit(bitmap: Uint8Array, row: number): void {
  bitmap[row >> 3] = (bitmap[row >> 3] as number) | (1 << (row & 7))
}

export function getBit(bitmap: Uint8Array, row: number): number {
  return ((bitmap[row >> 3] as number) >> (row & 7)) & 1
}

function takeValidity(vector: Vector, rows: Int32Array): Pick<Vector, 'validity' | 'nullCount'> {
  if (vector.validity === null || vector.nullCount === 0) return { validity: null, nullCount: 0 }
  const validity = new Uint8Array((rows.length + 7) >> 3)
  let nullCount = 0
  for (let i = 0; i < rows.length; i++) {
    if (isNull(vector, rows[i] as number)) nullCount++
    else setBit(validity, i)
  }
  return nullCount === 0 ? { validity: null, nullCount } : { validity, nullCount }
}

function takeBytes(vector: Vector, rows: Int32Array): { offsets: Int32Array; data: Uint8Array } {
  const from = variable(vector)
  const offsets = new Int32Array(rows.length + 1)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number
    offsets[i + 1] = (offsets[i] as number) + (from.offsets[row + 1] as number) - (from.offsets[row] as number)
  }
  const data = new Uint8Array(offsets[rows.length] as number)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number
    data.set(from.data.subarray(from.offsets[row], from.offsets[row + 1]), offsets[i])
  }
  return { offsets, data }
}

function takeValues(values: FixedVector['values'], kind: ColumnKind, rows: Int32Array): FixedVector['values'] {
  const count = rows.length
  if (values instanceof BigInt64Array) {
    const taken = new BigInt64Array(count)
    for (let i = 0; i < count; i++) taken[i] = values[rows[i] as number] as bigint
    return taken
  }
  if (!(values instanceof Uint8Array)) {
    const taken = emptyLike(values, count)
    for (let i = 0; i < count; i++) taken[i] = values[rows[i] as number] as number
    return taken
  }
  if (kind === 'bool') {
    const taken = new Uint8Array((count + 7) >> 3)
    for (let i = 0; i < count; i++) if (getBit(values, rows[i] as number)) setBit(taken, i)
    return taken
  }
  // decimal and uuid: 16 bytes a row.
  const taken = new Uint8Array(count * 16)
  for (let i = 0; i < count; i++) {
    const start = (rows[i] as number) * 16
    taken.set(values.subarray(start, start + 16), i * 16)
  }
  return taken
}

function emptyLike<T extends Int16Array | Int32Array | Float32Array | Float64Array>(values: T, count: number): T {
  return new (values.constructor as new (length: number) => T)(count)
}
