// A chunk's column as plain text, one value at a time: the same spelling in CSV files, in the keys of records and in JSON, which
// add their own quotes.
import { type Column, fixed, type Vector, variable } from '../../topics/columns.ts'
import type { TextBuffer } from './text-buffer.ts'
import { putDate, putDecimal, putInt64, putTimestamp, putUuid } from './values.ts'

/** Writes the value of a row, which is not NULL. */
export type Cell = (row: number) => void

/** How a chunk's column becomes text. `binary` stays bytes. */
export function textCell(text: TextBuffer, column: Column, vector: Vector): Cell {
  switch (column.kind) {
    case 'bool': {
      const { values } = fixed(vector)
      return (row) => text.ascii(((values[row >> 3] as number) >> (row & 7)) & 1 ? 'true' : 'false')
    }
    case 'int16':
    case 'int32': {
      const { values } = fixed(vector)
      return (row) => text.integer(values[row] as number)
    }
    case 'int64': {
      const values = viewOf(vector)
      return (row) => putInt64(text, values, row * 8)
    }
    case 'float32': {
      const { values } = fixed(vector)
      return (row) => text.float32(values[row] as number)
    }
    case 'float64': {
      const { values } = fixed(vector)
      return (row) => text.float64(values[row] as number)
    }
    case 'decimal': {
      const values = viewOf(vector)
      return (row) => putDecimal(text, values, row * 16, column.scale ?? 0)
    }
    case 'uuid': {
      const { values } = fixed(vector)
      return (row) => putUuid(text, values as Uint8Array, row * 16)
    }
    case 'date': {
      const { values } = fixed(vector)
      return (row) => putDate(text, values[row] as number)
    }
    case 'timestamp':
    case 'timestamptz': {
      const values = viewOf(vector)
      return (row) => putTimestamp(text, values.getBigInt64(row * 8, true), column.kind === 'timestamptz')
    }
    default: {
      const { offsets, data } = variable(vector)
      return (row) => text.raw(data, offsets[row] as number, offsets[row + 1] as number)
    }
  }
}

/** The bytes of a vector of fixed width. */
export function viewOf(vector: Vector): DataView {
  const { buffer, byteOffset, byteLength } = fixed(vector).values
  return new DataView(buffer, byteOffset, byteLength)
}
