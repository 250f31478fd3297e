// Halves a chunk that is too large for one record.
import type { Column, ColumnBatch } from '../../topics/columns.ts'
import { takeRows } from '../../topics/take-rows.ts'

export function splitRows(batch: ColumnBatch): [ColumnBatch, ColumnBatch] {
  const middle = batch.rows >> 1
  return [slice(batch, 0, middle), slice(batch, middle, batch.rows)]
}

function slice(batch: ColumnBatch, from: number, to: number): ColumnBatch {
  const rows = Int32Array.from({ length: to - from }, (_, i) => from + i)
  const vectors = batch.vectors.map((vector, i) => takeRows(vector, (batch.columns[i] as Column).kind, rows))
  return { columns: batch.columns, vectors, rows: rows.length }
}
