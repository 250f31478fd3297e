// The model's output tensors and the columns that pass through, as the scored chunk. A prediction is never NULL.
import type { Column, ColumnBatch, FixedVector, Vector } from '../../topics/columns.ts'
import { setBit, takeRows } from '../../topics/take-rows.ts'
import { fromHalf } from '../model/float16.ts'
import { ModelError, type Tensor, type TensorData, type Tensors } from '../model/model.ts'
import type { Prediction, ScoringPlan } from '../model/scoring-plan.ts'
import { newTensorData } from '../model/tensor-data.ts'

/**
 * The plan's output columns for rows `rows` of a batch (null: all of them). `outputs` has a row for each of these.
 * Passing columns of a whole batch are the batch's own vectors. Throws `ModelError` `output_shape` when the model gives
 * other shapes than at registration: that is no row's fault and fails the job.
 */
export function scoredBatch(
  plan: ScoringPlan,
  batch: ColumnBatch,
  outputs: Tensors,
  rows: Int32Array | null,
): ColumnBatch {
  const count = rows?.length ?? batch.rows
  const vectors = plan.outputs.map((output) => {
    if (output.from === 'model') return predictionVector(output, outputs[output.output], count)
    const vector = passing(batch, output.column)
    return rows ? takeRows(vector, output.column.kind, rows) : vector
  })
  return { columns: plan.outputColumns, vectors, rows: count }
}

/** The model's outputs that the plan needs; all of them when it chose none, for a model must be run to learn which rows fail. */
export function fetchesOf(plan: ScoringPlan): string[] {
  const chosen = plan.outputs.flatMap((output) => (output.from === 'model' ? [output.output] : []))
  return [...new Set(chosen.length > 0 ? chosen : plan.predictions.map(({ output }) => output))]
}

/** Outputs of a run over no rows. */
export function noOutputs(plan: ScoringPlan): Tensors {
  return Object.fromEntries(
    plan.predictions.map(({ output, type, width }) => [
      output,
      { type, dims: [0, width], data: newTensorData(type, 0) },
    ]),
  )
}

/** The outputs of some runs as those of one, in that order. Runs may be of no rows. */
export function joinOutputs(runs: readonly Tensors[]): Tensors {
  const filled = runs.filter((outputs) => rowsOf(outputs) > 0)
  const [first] = filled.length > 0 ? filled : runs
  if (filled.length < 2) return first as Tensors
  const rows = filled.reduce((sum, outputs) => sum + rowsOf(outputs), 0)
  return Object.fromEntries(
    Object.entries(first as Tensors).map(([name, { type, dims }]) => {
      const data = joinData(filled.map((outputs) => (outputs[name] as Tensor).data))
      return [name, { type, dims: [rows, ...dims.slice(1)], data }]
    }),
  )
}

/** Rows `rows` of a run's outputs. */
export function takeOutputs(outputs: Tensors, rows: Int32Array): Tensors {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { type, dims, data }]) => [
      name,
      { type, dims: [rows.length, ...dims.slice(1)], data: takeData(data, rows, dims[1] ?? 1) },
    ]),
  )
}

function rowsOf(outputs: Tensors): number {
  return Object.values(outputs)[0]?.dims[0] ?? 0
}

/** Throws `output_shape` unless every output has `count` rows of the width that the plan expects. */
export function checkOutputs(plan: ScoringPlan, outputs: Tensors, count: number): void {
  for (const prediction of plan.predictions) {
    const tensor = outputs[prediction.output]
    if (tensor) checkShape(prediction, tensor, count)
  }
}

function checkShape({ output, type, width }: Prediction, tensor: Tensor, count: number): void {
  const { dims } = tensor
  const shaped = dims[0] === count && (dims.length === 2 ? dims[1] === width : dims.length === 1 && width === 1)
  if (shaped && tensor.type === type) return
  throw new ModelError(
    'output_shape',
    `output ${output}: expected ${type}[${width === 1 ? `${count}] or [${count}, 1` : `${count}, ${width}`}] for ${count} rows, got ${tensor.type}[${dims.join(', ')}]`,
  )
}

function passing(batch: ColumnBatch, column: Column): Vector {
  const vector = batch.vectors[batch.columns.findIndex(({ name }) => name === column.name)]
  if (!vector)
    throw new TypeError(
      `expected column ${column.name} in the chunk, got ${batch.columns.map((c) => c.name).join(', ')}`,
    )
  return vector
}

function predictionVector(prediction: Prediction, tensor: Tensor | undefined, rows: number): Vector {
  if (!tensor) throw new ModelError('output_shape', `expected output ${prediction.output} from the model, got none`)
  checkShape(prediction, tensor, rows)
  const { index, width } = prediction
  const data = index === null || width === 1 ? tensor.data : everyNth(tensor.data, index, width, rows)
  if (isStrings(data)) return textVector(data)
  return { validity: null, nullCount: 0, values: columnValues(prediction, data) }
}

type NumberData = Exclude<TensorData, readonly string[]>
type NumberArrayConstructor = new (length: number) => Exclude<NumberData, BigInt64Array | BigUint64Array>

function isStrings(data: TensorData): data is readonly string[] {
  return Array.isArray(data)
}

/** Elements `first`, `first + stride`, … of row-major data: one column of a matrix. */
function everyNth(data: TensorData, first: number, stride: number, rows: number): TensorData {
  if (isStrings(data)) return Array.from({ length: rows }, (_, row) => data[first + row * stride] as string)
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const column = new (data instanceof BigInt64Array ? BigInt64Array : BigUint64Array)(rows)
    for (let row = 0, i = first; row < rows; row++, i += stride) column[row] = data[i] as bigint
    return column
  }
  const column = new (data.constructor as NumberArrayConstructor)(rows)
  for (let row = 0, i = first; row < rows; row++, i += stride) column[row] = data[i] as number
  return column
}

function joinData(parts: readonly TensorData[]): TensorData {
  const [first] = parts as [TensorData]
  if (isStrings(first)) return (parts as readonly (readonly string[])[]).flat()
  const arrays = parts as readonly NumberData[]
  const bytes = new Uint8Array(arrays.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const { buffer, byteOffset, byteLength } of arrays) {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return new (first.constructor as new (buffer: ArrayBuffer) => NumberData)(bytes.buffer)
}

/** The elements of rows `rows`, in one array: with an array for each row, a chunk with one NaN made thousands of them. */
function takeData(data: TensorData, rows: Int32Array, width: number): TensorData {
  if (isStrings(data)) {
    return Array.from({ length: rows.length * width }, (_, i) => {
      return data[(rows[Math.floor(i / width)] as number) * width + (i % width)] as string
    })
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const taken = new (data instanceof BigInt64Array ? BigInt64Array : BigUint64Array)(rows.length * width)
    for (let row = 0, to = 0; row < rows.length; row++) {
      const from = (rows[row] as number) * width
      for (let i = 0; i < width; i++) taken[to++] = data[from + i] as bigint
    }
    return taken
  }
  const taken = new (data.constructor as NumberArrayConstructor)(rows.length * width)
  for (let row = 0, to = 0; row < rows.length; row++) {
    const from = (rows[row] as number) * width
    for (let i = 0; i < width; i++) taken[to++] = data[from + i] as number
  }
  return taken
}

/** Elements as the storage of their column's kind; as they are where they already have it. */
function columnValues(prediction: Prediction, data: NumberData): FixedVector['values'] {
  switch (prediction.type) {
    case 'bool': {
      const bitmap = new Uint8Array((data.length + 7) >> 3)
      for (let i = 0; i < data.length; i++) if (data[i]) setBit(bitmap, i)
      return bitmap
    }
    case 'int8':
    case 'uint8':
      return Int16Array.from(data as Int8Array | Uint8Array)
    case 'uint16':
      return Int32Array.from(data as Uint16Array)
    case 'uint32':
      return BigInt64Array.from(data as Uint32Array, BigInt)
    case 'uint64': {
      const decimals = new BigUint64Array(data.length * 2)
      for (let i = 0; i < data.length; i++) decimals[i * 2] = data[i] as bigint
      return new Uint8Array(decimals.buffer)
    }
    case 'float16':
      return fromHalf(data as Uint16Array)
    default:
      return data as Float32Array | Float64Array | Int16Array | Int32Array | BigInt64Array
  }
}

function textVector(strings: readonly string[]): Vector {
  const data = Buffer.from(strings.join(''))
  const offsets = new Int32Array(strings.length + 1)
  let characters = 0
  for (let i = 0; i < strings.length; i++) {
    characters += (strings[i] as string).length
    offsets[i + 1] = characters
  }
  if (characters !== data.length) {
    // Not ASCII: bytes and characters differ.
    for (let i = 0; i < strings.length; i++)
      offsets[i + 1] = (offsets[i] as number) + Buffer.byteLength(strings[i] as string)
  }
  return { validity: null, nullCount: 0, offsets, data }
}
