import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TextBuffer } from '../../../connectors/text/text-buffer.ts'

function written(write: (text: TextBuffer) => void): string {
  const text = new TextBuffer()
  write(text)
  return text.take().toString()
}

test('a float32 is the shortest decimal that reads back as it', () => {
  const shortest = (value: number) => {
    for (let digits = 1; digits < 9; digits++) {
      const candidate = Number(value.toPrecision(digits))
      if (Math.fround(candidate) === value) return candidate
    }
    return Number(value.toPrecision(9))
  }
  const likely = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map(Math.fround)
  fc.assert(
    fc.property(fc.oneof(fc.float(), likely, fc.float({ min: 0, max: 1, noNaN: true })), (value) => {
      const text = written((buffer) => buffer.float32(value))
      expect(Math.fround(Number(text))).toBe(value)
      if (Number.isFinite(value)) expect(text.length).toBeLessThanOrEqual(Math.max(String(shortest(value)).length, 9))
    }),
    { numRuns: 20_000 },
  )
  const cases = [0.1, 0.97, 1, 123456.7, 999999.94, 1e-7, 3.4028234663852886e38, -0, 16777216, -1200, 0.00012, -50.25]
  expect(cases.map((value) => written((buffer) => buffer.float32(Math.fround(value))))).toEqual([
    '0.1',
    '0.97',
    '1',
    '123456.7',
    '999999.94',
    '1e-7',
    '3.4028235e+38',
    '-0',
    '16777216',
    '-1200',
    '0.00012',
    '-50.25',
  ])
})

test('float64, integers and decimals read back as they were', () => {
  fc.assert(
    fc.property(fc.double(), (value) => {
      expect(Number(written((b) => b.float64(value)))).toBe(value)
    }),
  )
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(written((b) => b.integer(value))).toBe(String(value))
    }),
  )
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.nat(14), (value, scale) => {
      const text = written((buffer) => buffer.decimal(value, scale))
      expect(text.replace('.', '').replace(/^(-?)0+(?=\d)/, '$1')).toBe(String(value))
      expect(scale === 0 ? -1 : text.length - 1 - scale).toBe(text.indexOf('.'))
    }),
  )
})
