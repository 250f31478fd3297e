// Values as text in dead letters, as PostgreSQL writes them.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cellText } from '../../src/scorer/cell-text.ts'
import type { Column } from '../../topics/columns.ts'
import { KINDS, type Value, vectorOf } from '../topics/vectors.ts'

const day = (text: string) => Date.parse(text) / 86_400_000
const us = (text: string) => BigInt(Date.parse(text)) * 1000n

test.each([
  ['bool', true, 'true'],
  ['bool', false, 'false'],
  ['int16', -7, '-7'],
  ['int64', 1n << 62n, '4611686018427387904'],
  ['float32', Math.fround(0.1), '0.1'],
  ['float32', Math.fround(16_777_217), '16777216'],
  ['float32', Number.NaN, 'NaN'],
  ['float64', 0.1, '0.1'],
  ['decimal', 12_345n, '123.45'],
  ['decimal', -5n, '-0.05'],
  ['decimal', -(1n << 127n), 'NaN'],
  ['decimal', 10n ** 37n, `1${'0'.repeat(35)}.00`],
  ['numeric', '1.50', '1.50'],
  ['utf8', 'grün', 'grün'],
  ['jsonb', '{"a": 1}', '{"a": 1}'],
  ['binary', '00ff', '\\x00ff'],
  ['uuid', '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
  ['date', day('2024-02-29'), '2024-02-29'],
  ['date', day('1969-12-31'), '1969-12-31'],
  ['date', day('0000-03-01'), '0001-03-01 BC'],
  ['date', 2_145_042_905, '5874897-12-31'],
  ['date', 2 ** 31 - 1, 'infinity'],
  ['timestamp', us('2025-03-15T10:00:00Z'), '2025-03-15 10:00:00'],
  ['timestamp', -1n, '1969-12-31 23:59:59.999999'],
  ['timestamptz', us('2025-03-15T10:00:00.250Z'), '2025-03-15 10:00:00.25+00'],
  ['timestamptz', -(1n << 63n), '-infinity'],
] as [Column['kind'], Value, string][])('%s %s is %s', (kind, value, text) => {
  const column: Column = kind === 'decimal' ? { name: 'x', kind, precision: 38, scale: 2 } : { name: 'x', kind }
  expect(cellText(column, vectorOf(kind, [value, value]), 1)).toBe(text)
})

test.each(KINDS)('NULL of %s is null', (kind) => {
  expect(cellText({ name: 'x', kind }, vectorOf(kind, [null]), 0)).toBeNull()
})

test('dates are those of JavaScript where it has them', () => {
  const days = fc.integer({ min: day('0001-01-01'), max: day('9999-12-31') })
  fc.assert(
    fc.property(days, (value) => {
      const expected = new Date(value * 86_400_000).toISOString().slice(0, 10)
      expect(cellText({ name: 'x', kind: 'date' }, vectorOf('date', [value]), 0)).toBe(expected)
    }),
  )
})

test('long text is cut', () => {
  expect(cellText({ name: 'x', kind: 'utf8' }, vectorOf('utf8', ['a'.repeat(5000)]), 0)).toBe(`${'a'.repeat(1000)}…`)
})
