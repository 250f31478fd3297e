// Keys of records: the value of the job's key column as text (bytes stay bytes), NULL as no key.
import { type ColumnBatch, isNull, type Vector } from '../../topics/columns.ts'
import { ConnectorError, type SinkJob } from '../connector.ts'
import { textCell } from '../text/cells.ts'
import { TextBuffer } from '../text/text-buffer.ts'

/** Keys of the rows of a write, one behind the other in one buffer that is used again after `clear`. */
export class Keys {
  readonly text = new TextBuffer()
  /** Where each key ends, or -1 - end where a row has none. */
  #ends = new Int32Array(1024)
  #count = 0

  /** What was appended since the last end is a row's key. */
  end(): void {
    this.#push(this.text.length)
  }

  /** A row without a key. */
  none(): void {
    this.#push(-1 - this.text.length)
  }

  /** Where the key of row `i` begins in `text.bytes`. */
  startOf(i: number): number {
    return i === 0 ? 0 : this.endOf(i - 1)
  }

  endOf(i: number): number {
    const end = this.#ends[i] as number
    return end < 0 ? -1 - end : end
  }

  /** Bytes of the key of row `i`; -1 when it has none. */
  lengthOf(i: number): number {
    return (this.#ends[i] as number) < 0 ? -1 : this.endOf(i) - this.startOf(i)
  }

  clear(): void {
    this.text.length = 0
    this.#count = 0
  }

  #push(end: number): void {
    if (this.#count === this.#ends.length) {
      const larger = new Int32Array(this.#count * 2)
      larger.set(this.#ends)
      this.#ends = larger
    }
    this.#ends[this.#count++] = end
  }
}

/** Appends one key for each row of the batch. */
export type PutKeys = (keys: Keys, batch: ColumnBatch) => void

/** No row has a key if the job has no key column. Throws `ConnectorError('key_column_missing')`. */
export function keyEncoder({ keyColumn, columns }: Pick<SinkJob, 'keyColumn' | 'columns'>): PutKeys {
  if (keyColumn === null) {
    return (keys, batch) => {
      for (let row = 0; row < batch.rows; row++) keys.none()
    }
  }
  const c = columns.findIndex(({ name }) => name === keyColumn)
  const column = columns[c]
  if (!column)
    throw new ConnectorError('key_column_missing', `the key column ${keyColumn} is not among the output's columns`, {
      retriable: false,
    })
  return (keys, batch) => {
    const vector = batch.vectors[c] as Vector
    const cell = textCell(keys.text, column, vector)
    for (let row = 0; row < batch.rows; row++) {
      if (isNull(vector, row)) keys.none()
      else {
        cell(row)
        keys.end()
      }
    }
  }
}
