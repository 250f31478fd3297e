// Table names of requests, and names in SQL.
import { expect, test } from 'vitest'
import {
  displayTable,
  parseTableName,
  quoteName,
  quoteTable,
  quoteText,
} from '../../../connectors/postgres/identifiers.ts'

test.each([
  ['scores', 'public', 'scores'],
  ['Predictions.Churn_Scores', 'predictions', 'churn_scores'],
  ['"Mixed"."Case Name"', 'Mixed', 'Case Name'],
  ['a."with ""quotes"" and . dots"', 'a', 'with "quotes" and . dots'],
  ['GRÖße', 'public', 'grÖße'],
])('%s', (text, schema, table) => {
  expect(parseTableName(text)).toEqual({ schema, table })
})

test.each([
  null,
  '',
  '.',
  'a.',
  '.a',
  'a.b.c',
  'a b',
  'a;b',
  'a--b',
  '"open',
  '""',
  '1a',
  'a.b ',
  `"x"; DROP TABLE t; --"`,
])('refuses %j', (text) => {
  expect(parseTableName(text)).toMatchObject({ code: 'table_name_invalid', pointer: '/output/table_name' })
})

test('refuses names that Postgres would cut', () => {
  expect(parseTableName('a'.repeat(63))).toMatchObject({ table: 'a'.repeat(63) })
  expect(parseTableName('a'.repeat(64))).toMatchObject({ code: 'table_name_invalid' })
  expect(parseTableName(`"${'é'.repeat(32)}"`)).toMatchObject({ code: 'table_name_invalid' })
})

test.each([
  'pg_catalog.pg_class',
  'PG_TOAST.x',
  '"pg_temp".x',
  'information_schema.tables',
  'scoreline_sink.ledger',
  'Scoreline_Sink.x',
])('refuses the reserved %s', (text) => {
  expect(parseTableName(text)).toMatchObject({ code: 'table_name_reserved' })
})

test('quotes every name and text', () => {
  expect(quoteName('a"b')).toBe('"a""b"')
  expect(quoteTable({ schema: 'select', table: 'x' })).toBe('"select"."x"')
  expect(quoteText("it's")).toBe("'it''s'")
  expect(quoteText("\\'; --")).toBe(" E'\\\\''; --'")
  expect(() => quoteName('a\0')).toThrow(TypeError)
  expect(displayTable({ schema: 'predictions', table: 'Churn' })).toBe('predictions."Churn"')
})
