// CSV part files after RFC 4180: a header, CRLF, quotes where needed. CRLF is the RFC's own line end; every reader takes it,
// and a text with a bare LF in it is then quoted like any other. NULL is an empty field, an empty text is "".
// Measured with (int64, int64, float32, float32): 4 M rows a second on one core, into memory.
import { type Column, type ColumnBatch, elementsOf, isNull, type Vector, variable } from '../../topics/columns.ts'
import { type Cell, textCell } from '../text/cells.ts'
import { TextBuffer } from '../text/text-buffer.ts'
import type { SyncPartEncoder } from './encoder.ts'
import { opensFormula } from './formula.ts'

/** Bytes that are collected before they go to the file. */
const WRITE_BYTES = 1024 ** 2

const QUOTE = 34
const COMMA = 44
const CR = 13
const LF = 10
const OPENING_BRACKET = 91
const CLOSING_BRACKET = 93
const APOSTROPHE = "'"

/** How text is written. */
interface TextStyle {
  /** Text that a spreadsheet would run as a formula gets an apostrophe before it. */
  readonly guard: boolean
  /** The only column of the file: quotes also where nothing asks for them. */
  readonly alone: boolean
}

/**
 * `formulaGuard` concerns cells of text, which is where data of any origin gets into a file: never numbers, dates or JSON
 * (none of which can be a formula), and not the header, whose names the query gives.
 *
 * In a file of one column, a NULL would be an empty line and a blank text nearly one, which readers skip (pandas, PyArrow,
 * Python's csv.DictReader): rows would be missing. So NULL is "" there, as Python's csv.writer has it, and all text is
 * quoted. NULL and empty text cannot be told apart in such a file; with a second column, such as the key, they can.
 */
export function csvEncoder(columns: readonly Column[], { formulaGuard }: { formulaGuard: boolean }): SyncPartEncoder {
  const text = new TextBuffer()
  const style = { guard: formulaGuard, alone: columns.length === 1 }
  columns.forEach((column, c) => {
    const name = Buffer.from(column.name)
    if (c > 0) text.byte(COMMA)
    putText(text, name, 0, name.length, HEADER_STYLE)
  })
  endLine(text)
  return {
    add(batch) {
      if (batch.vectors.length !== columns.length) {
        throw new TypeError(`expected ${columns.length} columns in each chunk, got ${batch.vectors.length}`)
      }
      putRows(text, columns, batch, style)
      return text.length >= WRITE_BYTES ? text.take() : NOTHING
    },
    finish: () => text.take(),
  }
}

const HEADER_STYLE: TextStyle = { guard: false, alone: false }

const NOTHING = new Uint8Array(0)

function putRows(text: TextBuffer, columns: readonly Column[], batch: ColumnBatch, style: TextStyle): void {
  const cells = columns.map((column, c) => cellOf(text, column, batch.vectors[c] as Vector, style))
  const nullCell = style.alone ? '""' : ''
  for (let row = 0; row < batch.rows; row++) {
    for (let c = 0; c < cells.length; c++) {
      if (c > 0) text.byte(COMMA)
      if (!isNull(batch.vectors[c] as Vector, row)) (cells[c] as Cell)(row)
      else text.ascii(nullCell)
    }
    endLine(text)
  }
}

function endLine(text: TextBuffer): void {
  text.byte(CR)
  text.byte(LF)
}

/** How the values of a chunk's column become text: as anywhere, but text of any kind may need quotes. */
function cellOf(text: TextBuffer, column: Column, vector: Vector, style: TextStyle): Cell {
  if (column.length !== undefined) return listCell(text, column.length, cellOf(text, elementsOf(column), vector, style))
  switch (column.kind) {
    case 'binary': {
      const { offsets, data } = variable(vector)
      return (row) => {
        text.ascii('\\x')
        text.ascii(Buffer.from(data.subarray(offsets[row], offsets[row + 1])).toString('hex'))
      }
    }
    case 'utf8':
    case 'json':
    case 'jsonb':
    case 'numeric': {
      const { offsets, data } = variable(vector)
      const ofKind = { ...style, guard: style.guard && column.kind === 'utf8' }
      return (row) => putText(text, data, offsets[row] as number, offsets[row + 1] as number, ofKind)
    }
    default:
      return textCell(text, column, vector)
  }
}

/**
 * JSON in quotes. NaN and infinities, which JSON has not, are spelled as in cells of their own, and so as Python's json
 * module, DuckDB and Postgres's float8 read them.
 */
function listCell(text: TextBuffer, length: number, element: Cell): Cell {
  return (row) => {
    text.byte(QUOTE)
    text.byte(OPENING_BRACKET)
    for (let i = 0; i < length; i++) {
      if (i > 0) text.byte(COMMA)
      element(row * length + i)
    }
    text.byte(CLOSING_BRACKET)
    text.byte(QUOTE)
  }
}

function putText(text: TextBuffer, data: Uint8Array, start: number, end: number, { guard, alone }: TextStyle): void {
  const formula = guard && opensFormula(data, start, end)
  if (!formula && !alone && start < end && text.unquoted(data, start, end)) return
  // The apostrophe goes inside the quotes: a spreadsheet takes those off before it looks for a formula.
  text.quoted(formula ? APOSTROPHE : '', data, start, end)
}
