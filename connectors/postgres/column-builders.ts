// COPY BINARY values → Arrow buffers, a column at a time. A builder takes the positions of many values and decodes them in one
// loop for its type: no call and no object for a value. Everything is written as 32-bit words, for typed arrays are little-endian
// here and the wire is big-endian, whatever the type means.
import type { Column, Vector } from '../../topics/columns.ts'
import { ConnectorError } from '../connector.ts'
import { GrowableBytes } from './growable.ts'
import { numericToDecimal, numericToText } from './numeric.ts'

/** Bytes of a piece of the COPY stream, and where in them the values of one column begin (after their length; -1 is NULL). */
export interface Values {
  readonly bytes: Buffer
  readonly view: DataView
  readonly positions: Int32Array
  /** The values are `positions[from .. from + count]`. */
  readonly from: number
  readonly count: number
}

/** One column of one batch. */
export interface ColumnBuilder {
  /** Decodes the values into the rows from `row` on. */
  append(values: Values, row: number): void
  /** The column, cut to `rows`. */
  finish(rows: number): Vector
}

/** A builder of at most `capacity` rows. */
export function columnBuilder(column: Column, capacity: number): ColumnBuilder {
  const nulls = new Nulls(capacity)
  switch (column.kind) {
    case 'bool':
      return boolBuilder(capacity, nulls)
    case 'int16':
      return fixedBuilder(new Int16Array(capacity), 1, decode2, nulls)
    case 'int32':
      return fixedBuilder(new Int32Array(capacity), 1, decode4, nulls)
    case 'float32':
      return fixedBuilder(new Float32Array(capacity), 1, decode4, nulls)
    case 'date':
      return fixedBuilder(new Int32Array(capacity), 1, decodeDate, nulls)
    case 'int64':
      return fixedBuilder(new BigInt64Array(capacity), 1, decode8, nulls)
    case 'float64':
      return fixedBuilder(new Float64Array(capacity), 1, decode8, nulls)
    case 'timestamp':
    case 'timestamptz':
      return fixedBuilder(new BigInt64Array(capacity), 1, decodeTimestamp, nulls, column)
    case 'uuid':
      return fixedBuilder(new Uint8Array(capacity * 16), 16, decode16, nulls)
    case 'decimal':
      return fixedBuilder(new Uint8Array(capacity * 16), 16, decodeDecimal, nulls, column)
    case 'numeric':
      return variableBuilder(capacity, appendNumericText, nulls)
    case 'jsonb':
      return variableBuilder(capacity, appendJsonb, nulls)
    default:
      return variableBuilder(capacity, appendBytes, nulls)
  }
}

/** The validity bitmap, made at the first NULL. */
class Nulls {
  #bitmap: Uint8Array | null = null
  readonly #capacity: number
  count = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  mark(row: number): void {
    this.#bitmap ??= new Uint8Array((this.#capacity + 7) >> 3).fill(0xff)
    const byte = row >> 3
    this.#bitmap[byte] = (this.#bitmap[byte] as number) & ~(1 << (row & 7))
    this.count += 1
  }

  finish(rows: number): { validity: Uint8Array | null; nullCount: number } {
    return { validity: this.#bitmap?.subarray(0, (rows + 7) >> 3) ?? null, nullCount: this.count }
  }
}

type FixedArray = Int16Array | Int32Array | Float32Array | BigInt64Array | Float64Array | Uint8Array
type FixedDecoder = (values: Values, row: number, target: ArrayBuffer, nulls: Nulls, column?: Column) => void

function fixedBuilder(
  array: FixedArray,
  elements: number,
  decode: FixedDecoder,
  nulls: Nulls,
  column?: Column,
): ColumnBuilder {
  return {
    append: (values, row) => decode(values, row, array.buffer as ArrayBuffer, nulls, column),
    finish: (rows) => ({ ...nulls.finish(rows), values: array.subarray(0, rows * elements) }),
  }
}

function decode2({ view, positions, from, count }: Values, row: number, target: ArrayBuffer, nulls: Nulls): void {
  const out = new Int16Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) nulls.mark(row + i)
    else out[row + i] = view.getInt16(at)
  }
}

function decode4({ view, positions, from, count }: Values, row: number, target: ArrayBuffer, nulls: Nulls): void {
  const words = new Int32Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) nulls.mark(row + i)
    else words[row + i] = view.getInt32(at)
  }
}

function decode8({ view, positions, from, count }: Values, row: number, target: ArrayBuffer, nulls: Nulls): void {
  const words = new Int32Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) {
      nulls.mark(row + i)
    } else {
      words[2 * (row + i)] = view.getInt32(at + 4)
      words[2 * (row + i) + 1] = view.getInt32(at)
    }
  }
}

function decode16({ view, positions, from, count }: Values, row: number, target: ArrayBuffer, nulls: Nulls): void {
  const words = new Int32Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) {
      nulls.mark(row + i)
    } else {
      // Bytes keep their order: no swap.
      for (let word = 0; word < 4; word++) words[4 * (row + i) + word] = view.getInt32(at + 4 * word, true)
    }
  }
}

/** Days from 1970-01-01 to 2000-01-01, where Postgres counts from. */
const EPOCH_DAYS = 10_957

function decodeDate({ view, positions, from, count }: Values, row: number, target: ArrayBuffer, nulls: Nulls): void {
  const out = new Int32Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) {
      nulls.mark(row + i)
    } else {
      const days = view.getInt32(at)
      out[row + i] = days === 0x7fffffff || days === -0x80000000 ? days : days + EPOCH_DAYS
    }
  }
}

/** 946,684,800,000,000 µs from 1970-01-01 to 2000-01-01, in two words. */
const EPOCH_LOW = 946_684_800_000_000 % 2 ** 32
const EPOCH_HIGH = Math.floor(946_684_800_000_000 / 2 ** 32)

function decodeTimestamp(values: Values, row: number, target: ArrayBuffer, nulls: Nulls, column?: Column): void {
  const { view, positions, from, count } = values
  const words = new Int32Array(target)
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) {
      nulls.mark(row + i)
      continue
    }
    let high = view.getInt32(at)
    let low = view.getUint32(at + 4)
    const infinite = (high === 0x7fffffff && low === 0xffffffff) || (high === -0x80000000 && low === 0)
    if (!infinite) {
      low += EPOCH_LOW
      high += EPOCH_HIGH + (low >= 2 ** 32 ? 1 : 0)
      // Postgres's last thirty years (to 294276) have no microsecond number from 1970 on.
      if (high > 0x7fffffff) throw outOfRange(column, 'a timestamp after the year 294246')
    }
    words[2 * (row + i)] = low
    words[2 * (row + i) + 1] = high
  }
}

function decodeDecimal(values: Values, row: number, target: ArrayBuffer, nulls: Nulls, column?: Column): void {
  const { view, positions, from, count } = values
  const words = new Uint32Array(target)
  const scale = column?.scale ?? 0
  for (let i = 0; i < count; i++) {
    const at = positions[from + i] as number
    if (at < 0) nulls.mark(row + i)
    else numericToDecimal(view, at, scale, words, 4 * (row + i))
  }
}

function boolBuilder(capacity: number, nulls: Nulls): ColumnBuilder {
  const bits = new Uint8Array((capacity + 7) >> 3)
  return {
    append({ bytes, positions, from, count }, row) {
      for (let i = 0; i < count; i++) {
        const at = positions[from + i] as number
        if (at < 0) nulls.mark(row + i)
        else if (bytes[at] !== 0) bits[(row + i) >> 3] = (bits[(row + i) >> 3] as number) | (1 << ((row + i) & 7))
      }
    },
    finish: (rows) => ({ ...nulls.finish(rows), values: bits.subarray(0, (rows + 7) >> 3) }),
  }
}

/** Appends the value of `length` bytes at `at` to `data`. */
type VariableDecoder = (values: Values, at: number, length: number, data: GrowableBytes) => void

function variableBuilder(capacity: number, decode: VariableDecoder, nulls: Nulls): ColumnBuilder {
  const offsets = new Int32Array(capacity + 1)
  const data = new GrowableBytes(capacity * 16)
  return {
    append(values, row) {
      const { view, positions, from, count } = values
      for (let i = 0; i < count; i++) {
        const at = positions[from + i] as number
        if (at < 0) nulls.mark(row + i)
        else decode(values, at, view.getInt32(at - 4), data)
        offsets[row + i + 1] = data.length
      }
    },
    finish: (rows) => ({ ...nulls.finish(rows), offsets: offsets.subarray(0, rows + 1), data: data.view() }),
  }
}

function appendBytes({ bytes }: Values, at: number, length: number, data: GrowableBytes): void {
  const to = data.reserve(length)
  const target = data.bytes
  // A loop costs 1 ns a byte, the call into the runtime 40 ns.
  if (length > 40) bytes.copy(target, to, at, at + length)
  else for (let i = 0; i < length; i++) target[to + i] = bytes[at + i] as number
}

/** jsonb is its text after a version byte. */
function appendJsonb(values: Values, at: number, length: number, data: GrowableBytes): void {
  if (values.bytes[at] !== 1) throw new RangeError(`expected jsonb of version 1, got version ${values.bytes[at]}`)
  appendBytes(values, at + 1, length - 1, data)
}

function appendNumericText({ view }: Values, at: number, _length: number, data: GrowableBytes): void {
  const text = numericToText(view, at)
  const to = data.reserve(text.length)
  data.bytes.write(text, to, 'latin1')
}

function outOfRange(column: Column | undefined, what: string): ConnectorError {
  const message = `column ${column?.name} has ${what}, which cannot be represented: cast it, for example ${column?.name}::text`
  return new ConnectorError('value_out_of_range', message, { retriable: false })
}
