// One value as text, as PostgreSQL writes it, so that it can be pasted into a query.
import { civilDate } from './civil-date.ts'
import { type Column, fixed, type Vector, variable } from './columns.ts'

/**
 * The value at `row`, which is not NULL. Exact: read back as the column's type, it is the same value. Only `binary` may be
 * cut, to its first `maxBytes`.
 */
export function valueText(column: Column, vector: Vector, row: number, maxBytes = Number.POSITIVE_INFINITY): string {
  switch (column.kind) {
    case 'utf8':
    case 'json':
    case 'jsonb':
    case 'numeric':
      return bytesAt(vector, row).toString('utf8')
    case 'binary':
      return `\\x${bytesAt(vector, row).subarray(0, maxBytes).toString('hex')}`
    case 'bool':
      return (((fixed(vector).values[row >> 3] as number) >> (row & 7)) & 1) === 1 ? 'true' : 'false'
    case 'float32':
      return shortest(fixed(vector).values[row] as number)
    case 'decimal':
      return decimalText(wideInteger(fixed(vector).values as Uint8Array, row), column.scale ?? 0)
    case 'uuid':
      return uuidText(fixed(vector).values as Uint8Array, row)
    case 'date':
      return dateText(fixed(vector).values[row] as number)
    case 'timestamp':
      return timestampText(fixed(vector).values[row] as bigint, '')
    case 'timestamptz':
      return timestampText(fixed(vector).values[row] as bigint, '+00')
    default:
      return String(fixed(vector).values[row])
  }
}

function bytesAt(vector: Vector, row: number): Buffer {
  const { offsets, data } = variable(vector)
  const start = offsets[row] as number
  return Buffer.from(data.buffer, data.byteOffset + start, (offsets[row + 1] as number) - start)
}

/** The fewest digits that give the same single-precision number; 9 always do. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits))
    if (Math.fround(rounded) === value) return String(rounded)
  }
  return String(Number(value.toPrecision(9)))
}

function wideInteger(values: Uint8Array, row: number): bigint {
  const view = new DataView(values.buffer, values.byteOffset + row * 16, 16)
  return (view.getBigInt64(8, true) << 64n) | view.getBigUint64(0, true)
}

const DECIMAL_NAN = -(1n << 127n)

function decimalText(unscaled: bigint, scale: number): string {
  if (unscaled === DECIMAL_NAN) return 'NaN'
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const point = digits.length - scale
  const sign = unscaled < 0n ? '-' : ''
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

function uuidText(values: Uint8Array, row: number): string {
  const hex = Buffer.from(values.buffer, values.byteOffset + row * 16, 16).toString('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

const MAX_DAY = 2 ** 31 - 1
const MIN_DAY = -(2 ** 31)

function dateText(days: number): string {
  if (days === MAX_DAY) return 'infinity'
  if (days === MIN_DAY) return '-infinity'
  const { date, era } = dayText(days)
  return `${date}${era}`
}

const MAX_MICROSECOND = (1n << 63n) - 1n
const MIN_MICROSECOND = -(1n << 63n)
const DAY_US = 86_400_000_000n

function timestampText(microseconds: bigint, zone: string): string {
  if (microseconds === MAX_MICROSECOND) return 'infinity'
  if (microseconds === MIN_MICROSECOND) return '-infinity'
  const rest = ((microseconds % DAY_US) + DAY_US) % DAY_US
  const { date, era } = dayText(Number((microseconds - rest) / DAY_US))
  const time = new Date(Number(rest / 1000n)).toISOString().slice(11, 19)
  const fraction = String(rest % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return `${date} ${time}${fraction ? `.${fraction}` : ''}${zone}${era}`
}

/** As PostgreSQL writes it: there is no year 0, it is 1 BC. */
function dayText(days: number): { date: string; era: string } {
  const { year, month, day } = civilDate(days)
  const shown = String(year > 0 ? year : 1 - year).padStart(4, '0')
  const date = `${shown}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`
  return { date, era: year > 0 ? '' : ' BC' }
}
