// A chunk's columns as the model's input tensors. Columns go in as the views that they are where the model takes them so;
// otherwise each is copied once, straight to its place.
import { type Column, type ColumnBatch, fixed, isNull, type Vector } from '../../topics/columns.ts'
import type { TensorType } from '../../topics/models.ts'
import { takeRows } from '../../topics/take-rows.ts'
import { toHalf } from '../model/float16.ts'
import type { Tensor, TensorData, Tensors } from '../model/model.ts'
import type { PlanInput, ScoringPlan } from '../model/scoring-plan.ts'
import { TENSOR_ARRAYS } from '../model/tensor-data.ts'
import { fillBigIntegers, fillBooleans, fillFloats, fillIntegers, fillStrings, wordsOf } from './fill.ts'

/** A row that no tensor can hold, and why. */
export interface UnfitRow {
  readonly row: number
  readonly reason: string
}

/** Rows with a NULL in a feature that is not floating-point, or an integer beyond the model's type; ascending, each once. */
export function unfitRows(plan: ScoringPlan, batch: ColumnBatch): UnfitRow[] {
  const find = columnFinder(batch)
  const reasons = new Map<number, string>()
  const blame = (row: number, reason: string) => {
    if (!reasons.has(row)) reasons.set(row, reason)
  }
  for (const { type, columns } of plan.inputs) {
    if (isFloat(type)) continue
    for (const name of columns) {
      const { column, vector } = find(name)
      blameNulls(blame, name, type, vector, batch.rows)
      if (!fits(column, type)) blameRange(blame, name, type, vector, batch.rows)
    }
  }
  return [...reasons].map(([row, reason]) => ({ row, reason })).sort((a, b) => a.row - b.row)
}

/**
 * The model's feeds for rows `rows` of a batch, or for all of them when null. None of these rows may be unfit. Feeds may be
 * views of the batch's vectors, so neither is to be written to until the run is over.
 */
export function buildFeeds(plan: ScoringPlan, batch: ColumnBatch, rows: Int32Array | null): Tensors {
  const find = columnFinder(batch)
  const count = rows?.length ?? batch.rows
  const feeds: Record<string, Tensor> = {}
  for (const input of plan.inputs) {
    const sources = input.columns.map((name) => {
      const { column, vector } = find(name)
      return { column, vector: rows ? takeRows(vector, column.kind, rows) : vector }
    })
    const dims = input.shape === 'vector' ? [count] : [count, input.columns.length]
    feeds[input.name] = { type: input.type, dims, data: tensorData(input, sources, count) }
  }
  return feeds
}

interface SourceColumn {
  readonly column: Column
  readonly vector: Vector
}

function columnFinder(batch: ColumnBatch): (name: string) => SourceColumn {
  const index = new Map(batch.columns.map((column, i) => [column.name, i]))
  return (name) => {
    const i = index.get(name)
    const column = i === undefined ? undefined : batch.columns[i]
    const vector = i === undefined ? undefined : batch.vectors[i]
    if (!column || !vector)
      throw new TypeError(`expected column ${name} in the chunk, got ${[...index.keys()].join(', ')}`)
    return { column, vector }
  }
}

function tensorData(input: PlanInput, sources: readonly SourceColumn[], rows: number): TensorData {
  const [only] = sources
  const view = only && sources.length === 1 ? asView(input.type, only, rows) : undefined
  if (view) return view

  const stride = sources.length
  const length = rows * stride
  const each = (fill: (slot: { first: number; stride: number; rows: number }, source: SourceColumn) => void) => {
    sources.forEach((source, first) => {
      fill({ first, stride, rows }, source)
    })
  }
  switch (input.type) {
    case 'float32':
    case 'float64':
    case 'float16': {
      const data = input.type === 'float64' ? new Float64Array(length) : new Float32Array(length)
      each((slot, { column, vector }) => fillFloats(data, slot, column, vector))
      return input.type === 'float16' ? toHalf(data as Float32Array) : data
    }
    case 'int64':
    case 'uint64': {
      const data = input.type === 'int64' ? new BigInt64Array(length) : new BigUint64Array(length)
      each((slot, { vector }) => fillBigIntegers(data, slot, vector))
      return data
    }
    case 'bool': {
      const data = new Uint8Array(length)
      each((slot, { vector }) => fillBooleans(data, slot, vector))
      return data
    }
    case 'string': {
      const data = new Array<string>(length)
      each((slot, { vector }) => fillStrings(data, slot, vector))
      return data
    }
    default: {
      const data = new TENSOR_ARRAYS[input.type](length)
      each((slot, { vector }) => fillIntegers(data, slot, vector))
      return data
    }
  }
}

/** A column whose values are already what the tensor holds: no NULL to turn into NaN, the same storage. */
function asView(type: TensorType, { column, vector }: SourceColumn, rows: number): TensorData | undefined {
  const same = column.kind === type && ['float32', 'float64', 'int16', 'int32', 'int64'].includes(type)
  if (!same || vector.nullCount > 0) return undefined
  // A reader may leave room at the end of a vector.
  return fixed(vector).values.subarray(0, rows)
}

function isFloat(type: TensorType): boolean {
  return type === 'float32' || type === 'float64' || type === 'float16'
}

type Blame = (row: number, reason: string) => void

function blameNulls(blame: Blame, name: string, type: TensorType, vector: Vector, rows: number): void {
  if (vector.nullCount === 0) return
  for (let row = 0; row < rows; row++) {
    if (isNull(vector, row))
      blame(row, `${name} is NULL: the model takes ${type}, and only floating-point features may be NULL`)
  }
}

/** Smallest and largest value of the integer tensors and columns. */
const RANGES: Partial<Record<string, readonly [min: number, max: number]>> = {
  int8: [-(2 ** 7), 2 ** 7 - 1],
  uint8: [0, 2 ** 8 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  uint16: [0, 2 ** 16 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2 ** 63), 2 ** 63],
  uint64: [0, 2 ** 64],
}

/** Whether every value of the column's kind fits the tensor's type. */
function fits(column: Column, type: TensorType): boolean {
  const from = RANGES[column.kind]
  const to = RANGES[type]
  return !from || !to || (from[0] >= to[0] && from[1] <= to[1])
}

function blameRange(blame: Blame, name: string, type: TensorType, vector: Vector, rows: number): void {
  const { values } = fixed(vector)
  const [min, max] = RANGES[type] as readonly [number, number]
  const words = values instanceof BigInt64Array ? wordsOf(values) : undefined
  for (let row = 0; row < rows; row++) {
    // As a double: what rounding takes away lies far beyond 2^32, and the sign stays.
    const value = words
      ? (words[row * 2 + 1] as number) * 2 ** 32 + ((words[row * 2] as number) >>> 0)
      : Number(values[row])
    if (value < min || value > max) blame(row, `${name} = ${values[row]} does not fit the model's ${type}`)
  }
}
