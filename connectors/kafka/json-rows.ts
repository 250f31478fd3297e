// Rows as JSON objects, one a record, without loss: integers are numbers with all their digits (JavaScript readers need a
// parser that keeps int64; Java's, Python's and Go's do), decimals and numerics are strings, because most parsers would make
// doubles of them. NaN and infinities are strings too (JSON has no such numbers), binary is base64, times are ISO 8601.
import { type Column, elementsOf, fixed, isNull, type Vector, variable } from '../../topics/columns.ts'
import { type Cell, textCell } from '../text/cells.ts'
import type { TextBuffer } from '../text/text-buffer.ts'
import type { EncodeRows } from './row-encoder.ts'

const QUOTE = 34
const BACKSLASH = 92
const CLOSE = 125
const OPEN_LIST = 91
const CLOSE_LIST = 93
const COMMA = 44

const NULL = Buffer.from('null')

export function jsonRows(columns: readonly Column[]): EncodeRows {
  // `{"a":`, `,"b":`, …: what stands before each value.
  const names = columns.map(({ name }, c) => Buffer.from(`${c === 0 ? '{' : ','}${JSON.stringify(name)}:`))
  return (out, batch) => {
    const cells = columns.map((column, c) => jsonCell(out, column, batch.vectors[c] as Vector))
    return (row) => {
      for (let c = 0; c < cells.length; c++) {
        const name = names[c] as Buffer
        out.raw(name, 0, name.length)
        if (isNull(batch.vectors[c] as Vector, row)) out.raw(NULL, 0, 4)
        else (cells[c] as Cell)(row)
      }
      out.byte(CLOSE)
    }
  }
}

function jsonCell(out: TextBuffer, column: Column, vector: Vector): Cell {
  if (column.length !== undefined) return listCell(out, column.length, jsonCell(out, elementsOf(column), vector))
  const plain = textCell(out, column, vector)
  switch (column.kind) {
    case 'float32':
    case 'float64': {
      const { values } = fixed(vector)
      const quotedCell = quoted(out, plain)
      return (row) => (Number.isFinite(values[row]) ? plain : quotedCell)(row)
    }
    case 'decimal':
    case 'numeric':
    case 'uuid':
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return quoted(out, plain)
    case 'utf8': {
      const { offsets, data } = variable(vector)
      return (row) => putString(out, data, offsets[row] as number, offsets[row + 1] as number)
    }
    case 'binary': {
      const { offsets, data } = variable(vector)
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      return quoted(out, (row) => out.ascii(bytes.toString('base64', offsets[row], offsets[row + 1])))
    }
    // json and jsonb are JSON already; the others are numbers and booleans.
    default:
      return plain
  }
}

function listCell(out: TextBuffer, length: number, element: Cell): Cell {
  return (row) => {
    for (let i = 0; i < length; i++) {
      out.byte(i === 0 ? OPEN_LIST : COMMA)
      element(row * length + i)
    }
    out.byte(CLOSE_LIST)
  }
}

function quoted(out: TextBuffer, cell: Cell): Cell {
  return (row) => {
    out.byte(QUOTE)
    cell(row)
    out.byte(QUOTE)
  }
}

function putString(out: TextBuffer, data: Uint8Array, start: number, end: number): void {
  out.byte(QUOTE)
  let from = start
  for (let i = start; i < end; i++) {
    const byte = data[i] as number
    if (byte >= 32 && byte !== QUOTE && byte !== BACKSLASH) continue
    out.raw(data, from, i)
    if (byte < 32) out.ascii(`\\u00${byte < 16 ? '0' : ''}${byte.toString(16)}`)
    else {
      out.byte(BACKSLASH)
      out.byte(byte)
    }
    from = i + 1
  }
  out.raw(data, from, end)
  out.byte(QUOTE)
}
