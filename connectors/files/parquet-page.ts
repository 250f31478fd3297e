// The body of a Parquet data page (v1): of a flat OPTIONAL column definition levels, then the values that are not NULL, PLAIN;
// of a list repetition levels before them. Arrow's buffers are already in that layout, so most of it is copying memory: a
// validity bitmap is a bit-packed run of levels, and numbers are little-endian in both.
import type { ParquetType } from 'hyparquet'
import { type Column, type FixedVector, isNull, type VariableVector, type Vector } from '../../topics/columns.ts'
import { ConnectorError } from '../connector.ts'

/** Some rows of one column, chunk by chunk. `slots`: places for a value; one a row, in a list one for each element. */
export interface Piece {
  readonly vector: Vector
  readonly slots: number
}

/** Where a page is put together; reused for other pages. Values begin at a multiple of 8, so they can be read as words. */
export class PageBuffer {
  // Small at first: of a job of a thousand rows, each part would cost more to clear than to encode.
  bytes = new Uint8Array(1 << 16)
  words = new Int32Array(this.bytes.buffer)
  /** The page lies in `start .. end`, its values in `values .. end`; `count` of them. */
  start = 0
  values = 0
  end = 0
  count = 0

  /** Makes room for `size` bytes in all, keeping what is there. */
  reserve(size: number): void {
    if (size <= this.bytes.length) return
    const larger = new Uint8Array(2 ** Math.ceil(Math.log2(size)))
    larger.set(this.bytes)
    this.bytes = larger
    this.words = new Int32Array(larger.buffer)
  }

  body(): Uint8Array {
    return this.bytes.subarray(this.start, this.end)
  }
}

/** Pages that are not in use, of all files that the process writes: array buffers that come and go cost collections of the heap. */
const spare: PageBuffer[] = []
const SPARE_PAGES = 8
const SPARE_BYTES = 4 * 1024 ** 2

export function takePage(): PageBuffer {
  return spare.pop() ?? new PageBuffer()
}

/** Nobody looks at the page any more. */
export function sparePage(page: PageBuffer): void {
  if (spare.length < SPARE_PAGES && page.bytes.length <= SPARE_BYTES) spare.push(page)
}

/** Puts the page of these pieces into `page`. */
export function buildPage(page: PageBuffer, column: Column, type: ParquetType, pieces: readonly Piece[]): void {
  putLevels(page, pieces, column.length ?? null)
  if (column.kind === 'bool') putBooleans(page, pieces)
  else putValues(page, column, type, pieces)
}

function putValues(page: PageBuffer, column: Column, type: ParquetType, pieces: readonly Piece[]): void {
  const size = pieces.reduce((sum, piece) => sum + plainSize(piece, type), 0)
  page.reserve(page.values + size)
  for (const { vector, slots } of pieces) {
    if ('offsets' in vector) putByteArrays(page, vector, slots)
    else if (column.kind === 'int16') putInt16(page, vector, slots)
    else if (column.kind === 'decimal') putDecimals(page, vector, slots, type, column.name)
    else
      putFixed(page, vector, slots, type === 'INT32' || type === 'FLOAT' ? 1 : type === 'FIXED_LEN_BYTE_ARRAY' ? 4 : 2)
  }
}

/** At most so many bytes of PLAIN values. */
export function plainSize({ vector, slots }: Piece, type: ParquetType): number {
  if ('offsets' in vector) return 4 * slots + (vector.offsets[slots] as number) - (vector.offsets[0] as number)
  return slots * (type === 'INT32' || type === 'FLOAT' ? 4 : type === 'FIXED_LEN_BYTE_ARRAY' ? 16 : 8)
}

/** Levels right before the values, each behind the length of its bytes: of a list repetition levels, then definition levels. */
function putLevels(page: PageBuffer, pieces: readonly Piece[], listLength: number | null): void {
  const slots = pieces.reduce((sum, piece) => sum + piece.slots, 0)
  const nulls = pieces.reduce((sum, piece) => sum + piece.vector.nullCount, 0)
  // No NULL: one run of `slots` ones. Otherwise one bit-packed run, in groups of eight levels of one bit.
  const groups = Math.ceil(slots / 8)
  const packed = varint(groups * 2 + 1)
  const run = nulls === 0 ? varint(slots * 2) : packed
  const length = run.length + (nulls === 0 ? 1 : groups)
  const repetition = listLength === null ? 0 : 4 + packed.length + groups
  page.values = Math.ceil((repetition + 4 + length) / 8) * 8
  page.start = page.values - 4 - length - repetition
  page.end = page.values
  page.count = slots - nulls
  page.reserve(page.values)
  const { bytes, start } = page
  if (listLength !== null) putRepetition(bytes, putRun(bytes, start, packed, groups), slots, listLength)
  const at = putRun(bytes, start + repetition, run, length - run.length)
  if (nulls === 0) bytes[at] = 1
  else putValidity(bytes, at, groups, pieces)
}

/** Puts the head of a run whose own bytes are `size`; returns where they go. */
function putRun(bytes: Uint8Array, at: number, run: readonly number[], size: number): number {
  new DataView(bytes.buffer).setUint32(at, run.length + size, true)
  bytes.set(run, at + 4)
  return at + 4 + run.length
}

/** 0 for the first element of each list, 1 for the others. */
function putRepetition(bytes: Uint8Array, at: number, slots: number, listLength: number): void {
  bytes.fill(0xff, at, at + Math.ceil(slots / 8))
  for (let slot = 0; slot < slots; slot += listLength) {
    bytes[at + (slot >> 3)] = (bytes[at + (slot >> 3)] as number) & ~(1 << (slot & 7))
  }
}

function putValidity(bytes: Uint8Array, at: number, groups: number, pieces: readonly Piece[]): void {
  bytes.fill(0, at, at + groups)
  let bit = 0
  for (const { vector, slots } of pieces) {
    const whole = slots >> 3
    if ((bit & 7) === 0 && vector.validity === null) bytes.fill(0xff, at + (bit >> 3), at + (bit >> 3) + whole)
    else if ((bit & 7) === 0 && vector.validity !== null) bytes.set(vector.validity.subarray(0, whole), at + (bit >> 3))
    const done = (bit & 7) === 0 ? whole * 8 : 0
    for (let slot = done; slot < slots; slot++) {
      if (!isNull(vector, slot))
        bytes[at + ((bit + slot) >> 3)] = (bytes[at + ((bit + slot) >> 3)] as number) | (1 << ((bit + slot) & 7))
    }
    bit += slots
  }
}

function putBooleans(page: PageBuffer, pieces: readonly Piece[]): void {
  const size = Math.ceil(page.count / 8)
  page.reserve(page.values + size)
  page.bytes.fill(0, page.values, page.values + size)
  let bit = 0
  for (const { vector, slots } of pieces) {
    const { values } = vector as FixedVector
    for (let slot = 0; slot < slots; slot++) {
      if (isNull(vector, slot)) continue
      const value = ((values[slot >> 3] as number) >> (slot & 7)) & 1
      const at = page.values + (bit >> 3)
      page.bytes[at] = (page.bytes[at] as number) | (value << (bit & 7))
      bit++
    }
  }
  page.end = page.values + size
}

/** Values of one, two or four 32-bit words. */
function putFixed(page: PageBuffer, vector: FixedVector, slots: number, width: 1 | 2 | 4): void {
  const from = wordsOf(vector.values)
  const to = page.words
  let at = page.end >> 2
  if (vector.validity === null) {
    to.set(from.subarray(0, slots * width), at)
    at += slots * width
  } else {
    for (let slot = 0; slot < slots; slot++) {
      if (isNull(vector, slot)) continue
      for (let word = 0; word < width; word++) to[at++] = from[slot * width + word] as number
    }
  }
  page.end = at << 2
}

function putInt16(page: PageBuffer, vector: FixedVector, slots: number): void {
  let at = page.end >> 2
  for (let slot = 0; slot < slots; slot++) if (!isNull(vector, slot)) page.words[at++] = vector.values[slot] as number
  page.end = at << 2
}

/** 16 bytes little-endian become INT32, INT64 or 16 bytes big-endian. */
function putDecimals(page: PageBuffer, vector: FixedVector, slots: number, type: ParquetType, name: string): void {
  const from = wordsOf(vector.values)
  const width = type === 'INT32' ? 1 : type === 'INT64' ? 2 : 4
  let at = page.end >> 2
  for (let slot = 0; slot < slots; slot++) {
    if (isNull(vector, slot)) continue
    const first = slot * 4
    const top = from[first + 3] as number
    if (top === NAN_TOP && !from[first] && !from[first + 1] && !from[first + 2]) throw notRepresentable(name, 'NaN')
    if (width === 4) {
      for (let word = 3; word >= 0; word--) page.words[at++] = swap(from[first + word] as number)
      continue
    }
    const sign = (from[first + width - 1] as number) >> 31
    for (let word = width; word < 4; word++) {
      if (from[first + word] !== sign) throw notRepresentable(name, 'a value beyond its precision')
    }
    for (let word = 0; word < width; word++) page.words[at++] = from[first + word] as number
  }
  page.end = at << 2
}

/** Length and bytes of each value. */
function putByteArrays(page: PageBuffer, vector: VariableVector, slots: number): void {
  const { offsets, data } = vector
  const { bytes } = page
  let at = page.end
  for (let slot = 0; slot < slots; slot++) {
    if (isNull(vector, slot)) continue
    const from = offsets[slot] as number
    const length = (offsets[slot + 1] as number) - from
    bytes[at] = length
    bytes[at + 1] = length >> 8
    bytes[at + 2] = length >> 16
    bytes[at + 3] = length >> 24
    at += 4
    // A call of `set` costs as much as copying some thirty bytes one by one.
    if (length > 32) bytes.set(data.subarray(from, from + length), at)
    else for (let i = 0; i < length; i++) bytes[at + i] = data[from + i] as number
    at += length
  }
  page.end = at
}

/** A value that the format has no place for; the remedy is in the user's query. */
export function notRepresentable(column: string, value: string): ConnectorError {
  return new ConnectorError(
    'value_not_representable',
    `column ${column} holds ${value}, which Parquet cannot store: replace it in the query (CASE, NULLIF) or cast the column to text`,
    { retriable: false },
  )
}

/** Top word of the smallest int128, the NaN of a decimal. */
const NAN_TOP = -0x8000_0000

function wordsOf(values: FixedVector['values']): Int32Array {
  const { buffer, byteOffset, byteLength } = values
  // Arrow aligns its buffers; bytes from anywhere else may not be.
  if (byteOffset % 4 === 0) return new Int32Array(buffer, byteOffset, byteLength >> 2)
  return new Int32Array(new Uint8Array(buffer, byteOffset, byteLength).slice().buffer)
}

function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
}

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest & 0x7f) | 0x80)
  }
}
