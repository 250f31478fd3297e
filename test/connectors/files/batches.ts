// Chunks made by hand for the file tests: values as JavaScript has them, laid out as Arrow's buffers.
import type { ScoredChunk, SinkJob } from '../../../connectors/connector.ts'
import { type Column, type ColumnBatch, isVariable, type Vector } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput } from '../../../topics/jobs.ts'

/** A value as text, number, bigint, boolean or bytes, whichever its kind needs; null for NULL. */
export type Value = string | number | bigint | boolean | Uint8Array | null

/** A row of a list. */
export type ListValue = readonly (number | bigint)[]

/** A batch of these columns; `rows[r][c]`. */
export function batchOf(columns: readonly Column[], rows: readonly (readonly (Value | ListValue)[])[]): ColumnBatch {
  const vectors = columns.map((column, c) =>
    vectorOf(
      column,
      rows.flatMap((row) => (row[c] ?? null) as Value | Value[]),
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

export const SCORES: readonly Column[] = [
  { name: 'customer_id', kind: 'int64' },
  { name: 'name', kind: 'utf8' },
  { name: 'score', kind: 'float32' },
]

/** Chunk `seq` of lane `lane`: ids that no other chunk has, a name that is sometimes NULL. */
export function scoredChunk(lane: number, seq: number, rows: number, failedRows = 0): ScoredChunk {
  const values = Array.from({ length: rows }, (_, i): Value[] => {
    const id = lane * 1_000_000 + seq * 1000 + i
    return [BigInt(id), id % 3 === 0 ? null : `name, "${id}"`, (id % 100) / 100]
  })
  return { seq, batch: batchOf(SCORES, values), failedRows }
}

/** What a test's job has of its own. */
export type JobOptions = Partial<Omit<SinkJob, 'output'>> & { readonly output?: Partial<JobOutput> }

/** A job that writes to `path`. */
export function sinkJob(path: string, options: JobOptions = {}): SinkJob {
  const { output, ...rest } = options
  return {
    jobId: 'batch-a',
    resultId: options.jobId ?? 'batch-a',
    attempt: 1,
    columns: SCORES,
    chunkRows: 100,
    lanes: [3, 7],
    model: { id: 'churn', version: 2, sha256: 'ab'.repeat(32) },
    ...rest,
    output: {
      ...BARE_OUTPUT,
      destination: 'parquet',
      path,
      mode: 'overwrite',
      ...output,
    },
  }
}
