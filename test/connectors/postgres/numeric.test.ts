// Binary numerics against decimal text and 128-bit decimals, for any value. That Postgres agrees is round-trip.test.ts's.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decimalText,
  decimalToNumeric,
  MAX_DECIMAL_BYTES,
  maxNumericBytes,
  numericToDecimal,
  numericToText,
  textToNumeric,
} from '../../../connectors/postgres/numeric.ts'

function fromText(text: string): DataView {
  const view = new DataView(new ArrayBuffer(maxNumericBytes(text.length)))
  const end = textToNumeric(text, view, 0)
  return new DataView(view.buffer, 0, end)
}

function toWords(value: bigint): Uint32Array {
  return Uint32Array.from({ length: 4 }, (_, i) => Number(BigInt.asUintN(32, value >> BigInt(32 * i))))
}

const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{0,${max}}$`))

test('decimal text survives, down to its zeros after the point', () => {
  fc.assert(
    fc.property(fc.boolean(), digits(60), digits(60), (negative, whole, fraction) => {
      const plain = whole.replace(/^0+/, '') || '0'
      const text = fraction === '' ? plain : `${plain}.${fraction}`
      const signed = negative && /[1-9]/.test(text) ? `-${text}` : text
      expect(numericToText(fromText(signed), 0)).toBe(signed)
    }),
  )
})

test.each(['NaN', 'Infinity', '-Infinity', '0', '0.00', '-0.00001', '100000', '9'.repeat(1000)])(
  '%s survives',
  (text) => {
    expect(numericToText(fromText(text), 0)).toBe(text)
  },
)

test.each(['', '.', 'abc', '1e5', '--1', '1.2.3', ' 1', 'nan'])('%j is no number', (text) => {
  expect(() => fromText(text)).toThrow(RangeError)
})

test('decimals of 128 bits survive at every scale', () => {
  const limit = 10n ** 38n - 1n
  const value = fc.oneof(
    fc.bigInt({ min: -limit, max: limit }),
    fc.bigInt({ min: -(2n ** 53n) - 10n, max: 2n ** 53n + 10n }),
    fc.bigInt({ min: -100_000n, max: 100_000n }),
    fc.integer({ min: 0, max: 37 }).map((power) => 10n ** BigInt(power)),
  )
  fc.assert(
    fc.property(value, fc.integer({ min: 0, max: 38 }), (unscaled, scale) => {
      const view = new DataView(new ArrayBuffer(MAX_DECIMAL_BYTES))
      const end = decimalToNumeric(toWords(unscaled), 0, scale, view, 0)
      const text = decimalText(unscaled, scale)
      expect(numericToText(view, 0)).toBe(text)
      expect(Buffer.from(view.buffer, 0, end)).toEqual(Buffer.from(fromText(text).buffer, 0, end))
      const words = new Uint32Array(4)
      numericToDecimal(view, 0, scale, words, 0)
      expect(words).toEqual(toWords(unscaled))
    }),
    { numRuns: 2000 },
  )
})

test('NaN is the smallest 128-bit integer', () => {
  const words = new Uint32Array(4)
  numericToDecimal(fromText('NaN'), 0, 2, words, 0)
  expect(words).toEqual(toWords(-(1n << 127n)))
  const view = new DataView(new ArrayBuffer(MAX_DECIMAL_BYTES))
  decimalToNumeric(words, 0, 2, view, 0)
  expect(numericToText(view, 0)).toBe('NaN')
})

test('what a decimal cannot hold is an error', () => {
  expect(() => numericToDecimal(fromText('1.234'), 0, 2, new Uint32Array(4), 0)).toThrow(RangeError)
  expect(() => numericToDecimal(fromText('Infinity'), 0, 2, new Uint32Array(4), 0)).toThrow(RangeError)
})
