// Keys of records: the value of the job's key column as text (bytes stay bytes), NULL as no key.
import { type ColumnBatch, isNull, type Vector } from '../../topics/columns.ts'
import { ConnectorError, type SinkJob } from '../connector.ts'
import { textCell } from '../text/cells.ts'
import type { Pieces } from './row-encoder.ts'

/** Appends one key for each row of the batch. */
export type PutKeys = (keys: Pieces, batch: ColumnBatch) => void

/** Null for a job without a key column. Throws `ConnectorError('key_column_missing')`. */
export function keyEncoder({ keyColumn, columns }: Pick<SinkJob, 'keyColumn' | 'columns'>): PutKeys | null {
  if (keyColumn === null) return null
  const c = columns.findIndex(({ name }) => name === keyColumn)
  const column = columns[c]
  if (!column)
    throw new ConnectorError('key_column_missing', `the key column ${keyColumn} is not among the output's columns`, {
      retriable: false,
    })
  return (keys, batch) => {
    const vector = batch.vectors[c] as Vector
    const cell = textCell(keys.out, column, vector)
    for (let row = 0; row < batch.rows; row++) {
      if (isNull(vector, row)) keys.none()
      else {
        cell(row)
        keys.end()
      }
    }
  }
}
