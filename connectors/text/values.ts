// Single values as text, straight into bytes. Special values are spelled as Postgres reads them.
import { civilDate } from '../../topics/civil-date.ts'
import type { TextBuffer } from './text-buffer.ts'

/** Beyond 2^53, and only there, through BigInt, which is ten times slower. */
export function putInt64(text: TextBuffer, values: DataView, at: number): void {
  const high = values.getInt32(at + 4, true)
  const low = values.getInt32(at, true)
  if (high === low >> 31) text.integer(low)
  else if (high >= -0x1f_ffff && high < 0x1f_ffff) text.integer(high * 0x1_0000_0000 + (low >>> 0))
  else text.ascii(values.getBigInt64(at, true).toString())
}

export function putDecimal(text: TextBuffer, values: DataView, at: number, scale: number): void {
  const low = values.getBigUint64(at, true)
  const high = values.getBigInt64(at + 8, true)
  const value = (high << 64n) | low
  const number = Number(value)
  if (value === DECIMAL_NAN) text.ascii('NaN')
  else if (Number.isSafeInteger(number) && scale < 15) text.decimal(number, scale)
  else {
    const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
    const point = digits.length - scale
    text.ascii(`${value < 0n ? '-' : ''}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ''}`)
  }
}

const DECIMAL_NAN = -(2n ** 127n)

export function putUuid(text: TextBuffer, values: Uint8Array, at: number): void {
  const hex = Buffer.from(values.buffer, values.byteOffset + at, 16).toString('hex')
  text.ascii(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`)
}

export function putDate(text: TextBuffer, days: number): void {
  if (days === 0x7fff_ffff) text.ascii('infinity')
  else if (days === -0x8000_0000) text.ascii('-infinity')
  else putDay(text, days)
}

function putDay(text: TextBuffer, days: number): void {
  const { year, month, day } = civilDate(days)
  text.integer(year, 4)
  text.byte(45)
  text.integer(month, 2)
  text.byte(45)
  text.integer(day, 2)
}

const DAY_MICROS = 86_400_000_000n

/** ISO 8601; the fraction of a second only where there is one. */
export function putTimestamp(text: TextBuffer, micros: bigint, utc: boolean): void {
  if (micros === 0x7fff_ffff_ffff_ffffn) text.ascii('infinity')
  else if (micros === -0x8000_0000_0000_0000n) text.ascii('-infinity')
  else putInstant(text, micros, utc)
}

function putInstant(text: TextBuffer, micros: bigint, utc: boolean): void {
  const remainder = micros % DAY_MICROS
  const ofDay = Number(remainder < 0n ? remainder + DAY_MICROS : remainder)
  putDay(text, Number((micros - BigInt(ofDay)) / DAY_MICROS))
  const seconds = Math.floor(ofDay / 1_000_000)
  const fraction = ofDay - seconds * 1_000_000
  text.byte(84)
  text.integer(Math.floor(seconds / 3600), 2)
  text.byte(58)
  text.integer(Math.floor(seconds / 60) % 60, 2)
  text.byte(58)
  text.integer(seconds % 60, 2)
  if (fraction > 0) {
    text.byte(46)
    text.integer(fraction, 6)
  }
  if (utc) text.byte(90)
}
