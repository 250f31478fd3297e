// Copies one column into a tensor, every `stride`-th element from `first` on: a column of a row-major matrix, or a whole
// tensor with stride 1. One plain loop for each storage, so that V8 compiles each for the arrays it sees.
import { isAscii } from 'node:buffer'
import { type Column, fixed, isNull, type Vector, variable } from '../../topics/columns.ts'
import { getBit } from '../../topics/take-rows.ts'

/** Where a column goes: `rows` elements of a tensor. */
export interface Slot {
  readonly first: number
  readonly stride: number
  readonly rows: number
}

/** A number column into floating-point elements, each to the nearest; NULL becomes NaN. */
export function fillFloats(target: Float32Array | Float64Array, slot: Slot, column: Column, vector: Vector): void {
  switch (column.kind) {
    case 'int64':
      fillFromWords(target, slot, fixed(vector).values as BigInt64Array)
      break
    case 'decimal':
      fillFromDecimals(target, slot, fixed(vector).values as Uint8Array, column.scale ?? 0)
      break
    case 'numeric':
      fillFromText(target, slot, vector)
      break
    default:
      fillFromNumbers(target, slot, fixed(vector).values as Int16Array | Int32Array | Float32Array | Float64Array)
  }
  if (vector.nullCount === 0) return
  for (let row = 0, i = slot.first; row < slot.rows; row++, i += slot.stride) {
    if (isNull(vector, row)) target[i] = Number.NaN
  }
}

/** Integer columns into integer elements of up to 32 bits. Whether the values fit has been checked. */
export function fillIntegers(
  target: Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array,
  { first, stride, rows }: Slot,
  vector: Vector,
): void {
  const { values } = fixed(vector)
  const wide = values instanceof BigInt64Array
  // The low word of an int64 that fits is its value; the target's own width cuts the sign where there is none.
  const source = wide ? wordsOf(values) : (values as Int16Array | Int32Array)
  const step = wide ? 2 : 1
  for (let row = 0, i = first; row < rows; row++, i += stride) target[i] = source[row * step] as number
}

/** Integer columns into 64-bit elements, as two words each: no BigInt is made on the way. */
export function fillBigIntegers(
  target: BigInt64Array | BigUint64Array,
  { first, stride, rows }: Slot,
  vector: Vector,
): void {
  const { values } = fixed(vector)
  const to = new Int32Array(target.buffer, target.byteOffset, target.length * 2)
  const wide = values instanceof BigInt64Array
  const from = wide ? wordsOf(values) : (values as Int16Array | Int32Array)
  for (let row = 0, i = first * 2; row < rows; row++, i += stride * 2) {
    to[i] = (wide ? from[row * 2] : from[row]) as number
    to[i + 1] = wide ? (from[row * 2 + 1] as number) : (from[row] as number) >> 31
  }
}

export function fillBooleans(target: Uint8Array, { first, stride, rows }: Slot, vector: Vector): void {
  const bitmap = fixed(vector).values as Uint8Array
  for (let row = 0, i = first; row < rows; row++, i += stride) target[i] = getBit(bitmap, row)
}

export function fillStrings(target: string[], { first, stride, rows }: Slot, vector: Vector): void {
  const { offsets, data } = variable(vector)
  const start = offsets[0] as number
  const bytes = Buffer.from(data.buffer, data.byteOffset + start, (offsets[rows] as number) - start)
  if (isAscii(bytes)) {
    // One conversion and then slices of it: a byte is a character.
    const text = bytes.toString('latin1')
    for (let row = 0, i = first; row < rows; row++, i += stride) {
      target[i] = text.slice((offsets[row] as number) - start, (offsets[row + 1] as number) - start)
    }
    return
  }
  for (let row = 0, i = first; row < rows; row++, i += stride) {
    target[i] = bytes.toString('utf8', (offsets[row] as number) - start, (offsets[row + 1] as number) - start)
  }
}

type Floats = Float32Array | Float64Array

function fillFromNumbers(
  target: Floats,
  { first, stride, rows }: Slot,
  values: Int16Array | Int32Array | Float32Array | Float64Array,
): void {
  for (let row = 0, i = first; row < rows; row++, i += stride) target[i] = values[row] as number
}

const WORD = 2 ** 32

function fillFromWords(target: Floats, { first, stride, rows }: Slot, values: BigInt64Array): void {
  const words = wordsOf(values)
  for (let row = 0, i = first; row < rows; row++, i += stride) {
    // Both parts are exact, so the sum is rounded once, as Number(bigint) would.
    target[i] = (words[row * 2 + 1] as number) * WORD + ((words[row * 2] as number) >>> 0)
  }
}

/** Of every scale that a decimal has; exact up to 10^22. */
const POWERS_OF_TEN: readonly number[] = Array.from({ length: 39 }, (_, scale) => Number(`1e${scale}`))

const DECIMAL_NAN_WORD = -(2 ** 31)

function fillFromDecimals(target: Floats, { first, stride, rows }: Slot, values: Uint8Array, scale: number): void {
  const words = wordsOf(values)
  const divisor = POWERS_OF_TEN[scale] as number
  for (let row = 0, i = first, w = 0; row < rows; row++, i += stride, w += 4) {
    const low = words[w] as number
    const high = words[w + 1] as number
    const sign = high >> 31
    const digits = high * WORD + (low >>> 0)
    // Digits and power of ten are both exact, so the quotient is the nearest; beyond that, reading the text is.
    const exact =
      scale <= 22 && words[w + 2] === sign && words[w + 3] === sign && Math.abs(digits) <= Number.MAX_SAFE_INTEGER
    target[i] = exact ? digits / divisor : wideDecimal(words, w, scale)
  }
}

/** A decimal of more than 53 bits; the smallest int128 stands for NaN. */
function wideDecimal(words: Int32Array, w: number, scale: number): number {
  const [a, b, c, d] = [words[w], words[w + 1], words[w + 2], words[w + 3]] as [number, number, number, number]
  if (a === 0 && b === 0 && c === 0 && d === DECIMAL_NAN_WORD) return Number.NaN
  const unsigned = (BigInt(c >>> 0) << 64n) | (BigInt(b >>> 0) << 32n) | BigInt(a >>> 0)
  return Number(`${(BigInt(d) << 96n) | unsigned}e-${scale}`)
}

function fillFromText(target: Floats, { first, stride, rows }: Slot, vector: Vector): void {
  const { offsets, data } = variable(vector)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  for (let row = 0, i = first; row < rows; row++, i += stride) {
    target[i] = parseDecimal(bytes, offsets[row] as number, offsets[row + 1] as number)
  }
}

const ZERO = 48
const MINUS = 45
const POINT = 46

/**
 * Short decimals without a string in between (4,000 rows x 3 columns: 0.3 ms instead of 1.7 ms); to the nearest, as the
 * digits and the power of ten are both exact.
 */
function parseDecimal(bytes: Buffer, start: number, end: number): number {
  const negative = bytes[start] === MINUS
  let digits = 0
  let scale = 0
  for (let at = negative ? start + 1 : start; at < end; at++) {
    const digit = (bytes[at] as number) - ZERO
    if (digit >= 0 && digit <= 9) digits = digits * 10 + digit
    else if (bytes[at] === POINT) scale = end - at - 1
    else return Number(bytes.toString('latin1', start, end))
  }
  // Postgres' NaN and Infinity are JavaScript's words, too.
  if (digits > Number.MAX_SAFE_INTEGER || scale > 22) return Number(bytes.toString('latin1', start, end))
  const value = digits / (POWERS_OF_TEN[scale] as number)
  return negative ? -value : value
}

/** The values' 32-bit words, low first; copied only when they do not lie on a word's boundary. */
export function wordsOf(values: BigInt64Array | Uint8Array): Int32Array {
  if (values.byteOffset % 4 === 0) return new Int32Array(values.buffer, values.byteOffset, values.byteLength >> 2)
  const copy = values.slice()
  return new Int32Array(copy.buffer, 0, copy.byteLength >> 2)
}
