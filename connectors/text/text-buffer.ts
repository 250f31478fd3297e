// A growing buffer of text, for CSV and for the records of a topic, with the number formats that matter for speed: digits go
// straight into bytes. Going through strings (`String(v)` and `write`) halves the rows a second.

const LF = 10
const CR = 13
const QUOTE = 34
const COMMA = 44
const MINUS = 45
const POINT = 46
const ZERO = 48

/** Appends text; `take` hands over what is there. */
export class TextBuffer {
  bytes = Buffer.allocUnsafeSlow(1 << 20)
  length = 0

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + size))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1)
    this.bytes[this.length++] = value
  }

  ascii(text: string): void {
    this.reserve(text.length)
    for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i)
  }

  /** Appends bytes as they are. */
  raw(from: Uint8Array, start: number, end: number): void {
    this.reserve(end - start)
    if (end - start > 32) this.bytes.set(from.subarray(start, end), this.length)
    else for (let i = 0; i < end - start; i++) this.bytes[this.length + i] = from[start + i] as number
    this.length += end - start
  }

  /** Appends a text that needs no quotes in CSV, or appends nothing and says so. */
  unquoted(from: Uint8Array, start: number, end: number): boolean {
    this.reserve(end - start)
    const { bytes } = this
    let at = this.length
    for (let i = start; i < end; i++) {
      const byte = from[i] as number
      if (byte <= COMMA && (byte === COMMA || byte === QUOTE || byte === LF || byte === CR)) return false
      bytes[at++] = byte
    }
    this.length = at
    return true
  }

  /** Appends `prefix` and a text in quotes, each quote in it twice. */
  quoted(prefix: string, from: Uint8Array, start: number, end: number): void {
    this.reserve((end - start) * 2 + prefix.length + 2)
    this.bytes[this.length++] = QUOTE
    this.ascii(prefix)
    const { bytes } = this
    let at = this.length
    for (let i = start; i < end; i++) {
      const byte = from[i] as number
      if (byte === QUOTE) bytes[at++] = QUOTE
      bytes[at++] = byte
    }
    bytes[at++] = QUOTE
    this.length = at
  }

  /** A whole number of at most 2^53, with zeros before it up to `digits`. */
  integer(value: number, digits = 1): void {
    this.reserve(24)
    let rest = value
    if (rest < 0) {
      this.bytes[this.length++] = MINUS
      rest = -rest
    }
    if (rest <= 0x7fff_ffff) this.#int31(rest | 0, digits)
    else {
      const high = Math.floor(rest / 1e9)
      this.#int31(high, digits - 9)
      this.#int31(rest - high * 1e9, 9)
    }
  }

  /** Divisions are integer ones here. */
  #int31(value: number, digits: number): void {
    const { bytes, length } = this
    const end = length + Math.max(digits, digitsOf(value))
    let rest = value
    for (let at = end; at > length; ) {
      const next = (rest / 10) | 0
      bytes[--at] = ZERO + rest - next * 10
      rest = next
    }
    this.length = end
  }

  /** `value` x 10^-scale, all digits after the point written. */
  decimal(value: number, scale: number): void {
    if (value < 0) this.byte(MINUS)
    const size = Math.abs(value)
    if (scale === 0) this.integer(size)
    else {
      const power = POWERS[scale] as number
      const whole = Math.floor(size / power)
      this.integer(whole)
      this.byte(POINT)
      this.integer(size - whole * power, scale)
    }
  }

  /** The shortest decimal that reads back as this float64. */
  float64(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.integer(value)
    else this.ascii(Object.is(value, -0) ? '-0' : String(value))
  }

  /** The shortest decimal that reads back as this float32. */
  float32(value: number): void {
    const size = Math.abs(value)
    if (size >= 1e-6 && size < 1e6) this.#shortFloat32(value, size)
    else if (value === 0 || !Number.isFinite(value)) this.float64(value)
    else this.ascii(shortestFloat32(value))
  }

  /**
   * Nine digits always suffice (IEEE 754), and of these sizes all of them fit a double exactly. The digits are right when
   * their double and both its neighbours round to the float: then a reader that goes through a double and one that does not
   * agree. Of six digits at most one decimal is as near as that, so where fewer would do it is the same one with zeros.
   */
  #shortFloat32(value: number, size: number): void {
    const whole = digitsBeforePoint(size)
    for (let digits = 6; digits <= 9; digits++) {
      const scale = POWERS[digits - whole] as number
      const scaled = Math.round(size * scale)
      const candidate = scaled / scale
      if (
        Math.fround(candidate) === size &&
        Math.fround(candidate * ABOVE) === size &&
        Math.fround(candidate * BELOW) === size
      ) {
        if (value < 0) this.byte(MINUS)
        this.#withoutZeros(scaled | 0, digits - whole)
        return
      }
    }
    this.ascii(shortestFloat32(value))
  }

  /** `value` x 10^-scale, without zeros at the end of its fraction. */
  #withoutZeros(value: number, scale: number): void {
    let rest = value
    let digits = scale
    for (; digits > 0 && rest % 10 === 0; digits--) rest = (rest / 10) | 0
    this.decimal(rest, digits)
  }

  take(): Buffer {
    const bytes = Buffer.from(this.bytes.subarray(0, this.length))
    this.length = 0
    return bytes
  }
}

const ABOVE = 1 + Number.EPSILON
const BELOW = 1 - Number.EPSILON
const POWERS = Array.from({ length: 16 }, (_, i) => 10 ** i)

/** Digits before the point; zero or less when the value is below one (-2 for 0.00123). */
function digitsBeforePoint(size: number): number {
  if (size >= 1) return digitsOf(Math.floor(size))
  if (size >= 0.1) return 0
  if (size >= 0.01) return -1
  if (size >= 0.001) return -2
  if (size >= 0.0001) return -3
  return size >= 0.00001 ? -4 : -5
}

function digitsOf(value: number): number {
  if (value < 10) return 1
  if (value < 100) return 2
  if (value < 1000) return 3
  if (value < 10_000) return 4
  let digits = 5
  for (let limit = 100_000; value >= limit; limit *= 10) digits++
  return digits
}

function shortestFloat32(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)))
    if (Math.fround(Number(text)) === value) return text
  }
  return String(Number(value.toPrecision(9)))
}
