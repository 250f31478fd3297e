// The payload of a chunk: its columns as one Arrow IPC stream (schema + one record batch), readable in every language.
import {
  Binary,
  Bool,
  type Data,
  type DataType,
  DateDay,
  Decimal,
  Field,
  FixedSizeBinary,
  FixedSizeList,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  RecordBatchReader,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  Utf8,
} from 'apache-arrow'
import {
  type Column,
  type ColumnBatch,
  type ColumnKind,
  elementsOf,
  isVariable,
  type Vector,
  valueCount,
} from './columns.ts'
import { decodeByLayout, encodeByLayout, type Layout, layoutOf } from './payload-layout.ts'

const KIND = 'scoreline.kind'
const SQL_TYPE = 'scoreline.sql_type'

/** Layouts by the columns that a job's batches share, and their rows; forgotten with the columns. */
const encodings = new WeakMap<readonly Column[], Map<number, Layout>>()
/** The layouts of the last payloads that were read. A process works on few jobs at a time, in full and last chunks. */
const decodings: Layout[] = []
const MAX_DECODINGS = 16

/** Arrow IPC stream bytes of a batch. The vectors are read, not kept. */
export function encodeColumns(batch: ColumnBatch): Uint8Array {
  const known = encodings.get(batch.columns) ?? new Map<number, Layout>()
  const layout = known.get(batch.rows)
  const quick = layout ? encodeByLayout(layout, batch) : null
  if (quick) return quick
  const payload = encode(batch)
  const learnt = layout ? null : layoutOf(decode(payload), payload)
  if (learnt) encodings.set(batch.columns, known.set(batch.rows, learnt))
  return payload
}

function encode(batch: ColumnBatch): Uint8Array {
  const fields = batch.columns.map(toField)
  const children = batch.columns.map((column, i) => toData(column, batch.vectors[i] as Vector, batch.rows))
  const struct = makeData({ type: new Struct(fields), length: batch.rows, nullCount: 0, children })
  const writer = new RecordBatchStreamWriter()
  const schema = new Schema(fields)
  writer.reset(undefined, schema)
  writer.write(new RecordBatch(schema, struct))
  writer.finish()
  return writer.toUint8Array(true)
}

/**
 * Columns of an Arrow IPC stream; the vectors are views into (a copy of) `bytes`.
 * Throws `TypeError` when the bytes are not a stream with exactly one record batch.
 */
export function decodeColumns(bytes: Uint8Array): ColumnBatch {
  // A Kafka record lies at any offset of its fetch response; typed arrays need alignment, and a copy of some tens of
  // kilobytes costs microseconds.
  const aligned = new Uint8Array(bytes)
  for (const layout of decodings) {
    const quick = decodeByLayout(layout, aligned)
    if (quick) return quick
  }
  try {
    const batch = decode(aligned)
    const learnt = layoutOf(batch, aligned)
    if (learnt) decodings.unshift(learnt)
    if (decodings.length > MAX_DECODINGS) decodings.pop()
    return batch
  } catch (error) {
    if (error instanceof TypeError) throw error
    throw new TypeError(`expected an Arrow IPC stream: ${(error as Error).message}`, { cause: error })
  }
}

/** The vectors are views of `bytes`. */
function decode(bytes: Uint8Array): ColumnBatch {
  const batches = [...RecordBatchReader.from(bytes)]
  const [batch] = batches
  if (!batch || batches.length !== 1) throw new TypeError(`expected one Arrow record batch, got ${batches.length}`)
  const columns = batch.schema.fields.map(fromField)
  const vectors = batch.data.children.map((data, i) => fromData(columns[i] as Column, data))
  for (const [i, vector] of vectors.entries()) requireComplete(columns[i] as Column, vector, batch.numRows)
  return { columns, vectors, rows: batch.numRows }
}

/** A stream that was cut short gives shorter arrays instead of an error. */
function requireComplete(column: Column, vector: Vector, rows: number): void {
  const { name, kind } = column
  const complete =
    'offsets' in vector
      ? vector.offsets.length > rows && vector.data.length >= (vector.offsets[rows] as number)
      : vector.values.length >= elements(kind, valueCount(column, rows))
  if (!complete || (vector.validity && vector.validity.length < Math.ceil(rows / 8))) {
    throw new TypeError(`Arrow column ${name}: expected ${rows} rows, the stream ends before`)
  }
}

/** Array elements that so many values of a fixed-width kind take. */
function elements(kind: ColumnKind, values: number): number {
  if (kind === 'bool') return Math.ceil(values / 8)
  return kind === 'decimal' || kind === 'uuid' ? values * 16 : values
}

function toField(column: Column): Field {
  const metadata = new Map([[KIND, column.kind as string]])
  if (column.sqlType !== undefined) metadata.set(SQL_TYPE, column.sqlType)
  return new Field(column.name, arrowType(column), true, metadata)
}

function fromField(field: Field): Column {
  const kind = field.metadata.get(KIND) as ColumnKind | undefined
  if (!kind) throw new TypeError(`Arrow field ${field.name} carries no ${KIND}`)
  const sqlType = field.metadata.get(SQL_TYPE)
  const { type } = field
  return {
    name: field.name,
    kind,
    ...(type instanceof FixedSizeList ? { length: type.listSize } : {}),
    ...(sqlType === undefined ? {} : { sqlType }),
    ...(kind === 'decimal' ? { precision: (type as Decimal).precision, scale: (type as Decimal).scale } : {}),
  }
}

function arrowType(column: Column): DataType {
  const { length } = column
  // Lists of one length have no offsets: the elements alone are what there is to write and read.
  if (length !== undefined) return new FixedSizeList(length, new Field('item', arrowType(elementsOf(column)), false))
  switch (column.kind) {
    case 'bool':
      return new Bool()
    case 'int16':
      return new Int16()
    case 'int32':
      return new Int32()
    case 'int64':
      return new Int64()
    case 'float32':
      return new Float32()
    case 'float64':
      return new Float64()
    case 'decimal':
      return new Decimal(column.scale ?? 0, column.precision ?? 38, 128)
    case 'uuid':
      return new FixedSizeBinary(16)
    case 'date':
      return new DateDay()
    case 'timestamp':
      return new TimestampMicrosecond()
    case 'timestamptz':
      return new TimestampMicrosecond('UTC')
    case 'binary':
      return new Binary()
    default:
      return new Utf8()
  }
}

function toData(column: Column, vector: Vector, rows: number): Data {
  const type = arrowType(column)
  const base = { length: rows, nullCount: vector.nullCount, nullBitmap: vector.validity }
  if (column.length !== undefined) {
    const child = toData(elementsOf(column), vector, valueCount(column, rows))
    return makeData({ type: type as FixedSizeList, ...base, child })
  }
  const buffers = 'offsets' in vector ? { valueOffsets: vector.offsets, data: vector.data } : { data: vector.values }
  // makeData is overloaded by type; the switch above already fixed which buffers belong to it.
  return makeData({ type, ...base, ...buffers } as unknown as Parameters<typeof makeData>[0])
}

function fromData(column: Column, data: Data): Vector {
  if (column.length !== undefined) return fromData(elementsOf(column), data.children[0] as Data)
  const nullCount = data.nullCount
  const validity = nullCount > 0 ? (data.nullBitmap as Uint8Array) : null
  const values = data.values as Uint8Array
  if (isVariable(column.kind)) {
    return { validity, nullCount, offsets: data.valueOffsets as Int32Array, data: values }
  }
  // Decimals arrive as 32-bit words; everything here sees them as bytes.
  const decimal = column.kind === 'decimal'
  return {
    validity,
    nullCount,
    values: decimal ? new Uint8Array(values.buffer, values.byteOffset, values.byteLength) : values,
  }
}
