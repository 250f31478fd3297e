// Least and greatest value of a column in a row group, taken from the page's PLAIN bytes: NULLs are gone there, and numbers
// can be read as they lie. Readers skip row groups by them.
import type { ParquetType, Statistics } from 'hyparquet'
import type { Column } from '../../topics/columns.ts'
import { notRepresentable, type PageBuffer } from './parquet-page.ts'

/** Collects over the pages of a row group; `result` is what the footer says. */
export interface ColumnStatistics {
  add(page: PageBuffer): void
  result(): Pick<Statistics, 'min_value' | 'max_value'>
}

export function columnStatistics(column: Column, type: ParquetType): ColumnStatistics {
  switch (type) {
    case 'BOOLEAN':
      return booleans()
    case 'FLOAT':
    case 'DOUBLE':
      return floats(type)
    case 'INT32':
      return words32(column)
    case 'INT64':
      return words64(column)
    case 'FIXED_LEN_BYTE_ARRAY':
      return bytes16(column)
    default:
      // Bounds of JSON may not be cut short, and one document can be megabytes; nobody compares either kind.
      return column.kind === 'utf8' || column.kind === 'numeric' ? texts() : { add: () => {}, result: () => ({}) }
  }
}

function booleans(): ColumnStatistics {
  let min = true
  let max = false
  return {
    add(page) {
      for (let i = 0; i < page.count; i++) {
        const value = (((page.bytes[page.values + (i >> 3)] as number) >> (i & 7)) & 1) === 1
        min &&= value
        max ||= value
      }
    },
    result: () => (min && !max ? {} : { min_value: min, max_value: max }),
  }
}

function floats(type: 'FLOAT' | 'DOUBLE'): ColumnStatistics {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  let some = false
  let nan = false
  return {
    add(page) {
      const { buffer } = page.bytes
      const values =
        type === 'FLOAT'
          ? new Float32Array(buffer, page.values, page.count)
          : new Float64Array(buffer, page.values, page.count)
      for (let i = 0; i < values.length; i++) {
        const value = values[i] as number
        if (value < min) min = value
        if (value > max) max = value
        nan ||= Number.isNaN(value)
      }
      some ||= values.length > 0
    },
    // With a NaN there are no bounds, though the format would let them ignore it: to DuckDB and Spark NaN is the greatest
    // value, and `x > 5` must find it in a row group whose other values are small. The format wants -0 as the least zero
    // and +0 as the greatest.
    result: () => (!some || nan ? {} : { min_value: min === 0 ? -0 : min, max_value: max === 0 ? 0 : max }),
  }
}

function words32({ name, kind }: Column): ColumnStatistics {
  let min = 0x7fff_ffff
  let max = -0x8000_0000
  let some = false
  return {
    add(page) {
      const first = page.values >> 2
      for (let i = first; i < first + page.count; i++) {
        const value = page.words[i] as number
        if (value < min) min = value
        if (value > max) max = value
      }
      some ||= page.count > 0
      if (kind === 'date' && page.count > 0) {
        if (min === -0x8000_0000) throw notRepresentable(name, '-infinity')
        if (max === 0x7fff_ffff) throw notRepresentable(name, 'infinity')
      }
    },
    result: () => {
      if (!some) return {}
      // hyparquet-writer takes a decimal's number for the scaled value, a bigint for the unscaled one.
      return kind === 'decimal'
        ? { min_value: BigInt(min), max_value: BigInt(max) }
        : { min_value: min, max_value: max }
    },
  }
}

/** 64 bits as two words: BigInt costs ten times as much a row. */
function words64({ name, kind }: Column): ColumnStatistics {
  let minHigh = 0x7fff_ffff
  let minLow = 0xffff_ffff
  let maxHigh = -0x8000_0000
  let maxLow = 0
  let some = false
  const join = (high: number, low: number) => (BigInt(high) << 32n) | BigInt(low)
  return {
    add(page) {
      const { words } = page
      const first = page.values >> 2
      for (let i = first; i < first + page.count * 2; i += 2) {
        const low = (words[i] as number) >>> 0
        const high = words[i + 1] as number
        if (high < minHigh || (high === minHigh && low < minLow)) {
          minHigh = high
          minLow = low
        }
        if (high > maxHigh || (high === maxHigh && low > maxLow)) {
          maxHigh = high
          maxLow = low
        }
      }
      some ||= page.count > 0
      if ((kind === 'timestamp' || kind === 'timestamptz') && page.count > 0) {
        if (minHigh === -0x8000_0000 && minLow === 0) throw notRepresentable(name, '-infinity')
        if (maxHigh === 0x7fff_ffff && maxLow === 0xffff_ffff) throw notRepresentable(name, 'infinity')
      }
    },
    result: () => (some ? { min_value: join(minHigh, minLow), max_value: join(maxHigh, maxLow) } : {}),
  }
}

/** Bytes in some buffer. */
interface Span {
  readonly bytes: Uint8Array
  readonly at: number
  readonly length: number
}

/** Least and greatest span; copied out of the page only at its end, for in a sorted column every row is the greatest yet. */
function spans(
  lengthAt: ((page: PageBuffer, at: number) => number) | null,
  compare: (a: Span, b: Span) => number,
  result: (bytes: Uint8Array) => Uint8Array | bigint,
): ColumnStatistics {
  let min: Span | null = null
  let max: Span | null = null
  return {
    add(page) {
      for (let at = page.values; at < page.end; ) {
        const length = lengthAt === null ? 16 : lengthAt(page, at)
        if (lengthAt !== null) at += 4
        const span: Span = { bytes: page.bytes, at, length }
        if (min === null || compare(span, min) < 0) min = span
        if (max === null || compare(span, max) > 0) max = span
        at += length
      }
      min = min && detached(min)
      max = max && detached(max)
    },
    result: () => (min === null || max === null ? {} : { min_value: result(min.bytes), max_value: result(max.bytes) }),
  }
}

function detached({ bytes, at, length }: Span): Span {
  return { bytes: bytes.slice(at, at + length), at: 0, length }
}

/** UUIDs compare as unsigned bytes, decimals as signed big-endian numbers. */
function bytes16({ kind }: Column): ColumnStatistics {
  if (kind !== 'decimal') return spans(null, compareBytes, (bytes) => bytes)
  const bySign = (a: Span, b: Span) => signOf(a) - signOf(b) || compareBytes(a, b)
  return spans(null, bySign, signedBigEndian)
}

/** UTF-8 compares as unsigned bytes; hyparquet-writer cuts the bounds to 16 bytes and rounds the greatest one up. */
function texts(): ColumnStatistics {
  const lengthAt = ({ bytes }: PageBuffer, at: number) =>
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  return spans(lengthAt, compareBytes, (bytes) => bytes)
}

function compareBytes(a: Span, b: Span): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) {
    const difference = (a.bytes[a.at + i] as number) - (b.bytes[b.at + i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

function signOf({ bytes, at }: Span): number {
  return (bytes[at] as number) < 0x80 ? 1 : -1
}

function signedBigEndian(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return (view.getBigInt64(0) << 64n) | view.getBigUint64(8)
}
