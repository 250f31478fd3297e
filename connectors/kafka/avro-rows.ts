// Rows as Avro in the Confluent wire format: a zero byte, the schema's id in the registry (4 bytes, big-endian), then the
// record's binary encoding. Source: Avro specification 1.12, "Binary Encoding".
import { type Column, elementsOf, fixed, isNull, isVariable, type Vector, variable } from '../../topics/columns.ts'
import { ConnectorError } from '../connector.ts'
import { type Cell, textCell, viewOf } from '../text/cells.ts'
import { TextBuffer } from '../text/text-buffer.ts'
import { isAvroDecimal } from './avro-schema.ts'
import type { EncodeRows } from './row-encoder.ts'

/** Branch 1 of `["null", T]`, as a zigzag number. */
const PRESENT = 2

export function avroRows(columns: readonly Column[], schemaId: number): EncodeRows {
  const header = Buffer.alloc(5)
  header.writeInt32BE(schemaId, 1)
  return (out, batch) => {
    const cells = columns.map((column, c) => avroCell(out, column, batch.vectors[c] as Vector))
    return (row) => {
      out.raw(header, 0, 5)
      for (let c = 0; c < cells.length; c++) {
        if (isNull(batch.vectors[c] as Vector, row)) out.byte(0)
        else {
          out.byte(PRESENT)
          ;(cells[c] as Cell)(row)
        }
      }
    }
  }
}

function avroCell(out: TextBuffer, column: Column, vector: Vector): Cell {
  if (column.length !== undefined) return arrayCell(out, column.length, avroCell(out, elementsOf(column), vector))
  if (isVariable(column.kind)) {
    const { offsets, data } = variable(vector)
    return (row) => {
      const start = offsets[row] as number
      const end = offsets[row + 1] as number
      putInt(out, end - start)
      out.raw(data, start, end)
    }
  }
  switch (column.kind) {
    case 'bool': {
      const { values } = fixed(vector)
      return (row) => out.byte(((values[row >> 3] as number) >> (row & 7)) & 1)
    }
    case 'int16':
    case 'int32': {
      const { values } = fixed(vector)
      return (row) => putInt(out, values[row] as number)
    }
    case 'date': {
      const { values } = fixed(vector)
      return (row) => {
        const days = values[row] as number
        if (days === 0x7fff_ffff || days === -0x8000_0000) throw notRepresentable(column, 'an infinite date')
        putInt(out, days)
      }
    }
    case 'int64': {
      const values = viewOf(vector)
      return (row) => putLong(out, values.getInt32(row * 8, true), values.getInt32(row * 8 + 4, true))
    }
    case 'timestamp':
    case 'timestamptz': {
      const values = viewOf(vector)
      return (row) => {
        const low = values.getInt32(row * 8, true)
        const high = values.getInt32(row * 8 + 4, true)
        if ((high === 0x7fff_ffff && low === -1) || (high === -0x8000_0000 && low === 0))
          throw notRepresentable(column, 'an infinite timestamp')
        putLong(out, low, high)
      }
    }
    // Little-endian on both sides.
    case 'float32':
      return rawCell(out, vector, 4)
    case 'float64':
      return rawCell(out, vector, 8)
    case 'decimal':
      return isAvroDecimal(column) ? decimalCell(out, column, vector) : measuredText(out, column, vector)
    default:
      return measuredText(out, column, vector)
  }
}

/** One block of all elements, then the empty block that ends an array. */
function arrayCell(out: TextBuffer, length: number, element: Cell): Cell {
  return (row) => {
    putInt(out, length)
    for (let i = 0; i < length; i++) element(row * length + i)
    out.byte(0)
  }
}

function rawCell(out: TextBuffer, vector: Vector, width: number): Cell {
  const { buffer, byteOffset, byteLength } = fixed(vector).values
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  return (row) => out.raw(bytes, row * width, row * width + width)
}

/** Text goes to a buffer of its own first, for its length stands in front of it. */
const scratch = new TextBuffer()

function measuredText(out: TextBuffer, column: Column, vector: Vector): Cell {
  const cell = textCell(scratch, column, vector)
  return (row) => {
    scratch.length = 0
    cell(row)
    putInt(out, scratch.length)
    out.raw(scratch.bytes, 0, scratch.length)
  }
}

/** Two's complement, big-endian, as short as the sign allows. */
function decimalCell(out: TextBuffer, column: Column, vector: Vector): Cell {
  const { buffer, byteOffset, byteLength } = fixed(vector).values
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  return (row) => {
    const first = row * 16
    const top = bytes[first + 15] as number
    const fill = top & 0x80 ? 0xff : 0
    let length = 16
    // A leading byte that only repeats the sign of the next is left out.
    while (
      length > 1 &&
      bytes[first + length - 1] === fill &&
      (((bytes[first + length - 2] as number) ^ fill) & 0x80) === 0
    )
      length--
    if (length === 16 && top === 0x80 && isSmallest(bytes, first)) throw notRepresentable(column, 'NaN')
    putInt(out, length)
    for (let i = length - 1; i >= 0; i--) out.byte(bytes[first + i] as number)
  }
}

/** The smallest int128 stands for NaN. */
function isSmallest(bytes: Uint8Array, first: number): boolean {
  for (let i = first; i < first + 15; i++) if (bytes[i] !== 0) return false
  return true
}

/** A zigzag variable-length number of 32 bits. */
function putInt(out: TextBuffer, value: number): void {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  while (rest > 127) {
    out.byte((rest & 127) | 128)
    rest >>>= 7
  }
  out.byte(rest)
}

/** The same of 64 bits, in two halves: no BigInt for a value. */
function putLong(out: TextBuffer, low: number, high: number): void {
  const sign = high >> 31
  let restHigh = (((high << 1) | (low >>> 31)) ^ sign) >>> 0
  let rest = ((low << 1) ^ sign) >>> 0
  while (restHigh !== 0 || rest > 127) {
    out.byte((rest & 127) | 128)
    rest = ((rest >>> 7) | (restHigh << 25)) >>> 0
    restHigh >>>= 7
  }
  out.byte(rest)
}

function notRepresentable({ name }: Column, value: string): ConnectorError {
  return new ConnectorError(
    'value_not_representable',
    `column ${name} holds ${value}, which Avro cannot store: replace it in the query (CASE, NULLIF), cast the column to text, or use format json`,
    { retriable: false },
  )
}
