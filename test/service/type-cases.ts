// Every Postgres type that passes through the service, with extremes, and what DuckDB says of them in Parquet.

export interface TypeCase {
  readonly name: string
  /** As `format_type` spells it, in the source and in the target. */
  readonly type: string
  /** SQL literals: lowest, highest, ordinary; and what Parquet has no place for, or NULL. */
  readonly values: readonly [string, string, string, string | null]
  /** DuckDB's type, and its text of the first three values. */
  readonly duckdb: readonly [type: string, lowest: string, highest: string, ordinary: string]
}

const BYTES = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0')).join('')
const LONG = 'žluťoučký 🐎'.repeat(500)

export const TYPES: readonly TypeCase[] = [
  {
    name: 'smallint',
    type: 'smallint',
    values: ['-32768', '32767', '0', null],
    duckdb: ['SMALLINT', '-32768', '32767', '0'],
  },
  {
    name: 'integer',
    type: 'integer',
    values: ['-2147483648', '2147483647', '7', null],
    duckdb: ['INTEGER', '-2147483648', '2147483647', '7'],
  },
  {
    name: 'bigint',
    type: 'bigint',
    values: ['-9223372036854775808', '9223372036854775807', '-9007199254740993', null],
    duckdb: ['BIGINT', '-9223372036854775808', '9223372036854775807', '-9007199254740993'],
  },
  {
    name: 'real',
    type: 'real',
    values: ["'-3.4028235e38'", "'Infinity'", "'1e-45'", "'NaN'"],
    duckdb: ['FLOAT', '-3.4028235e+38', 'inf', '1e-45'],
  },
  {
    name: 'double',
    type: 'double precision',
    values: ["'-Infinity'", "'1.7976931348623157e308'", "'-0'", "'NaN'"],
    duckdb: ['DOUBLE', '-inf', '1.7976931348623157e+308', '-0.0'],
  },
  {
    name: 'numeric_10_2',
    type: 'numeric(10,2)',
    values: ['-99999999.99', '99999999.99', '0.10', "'NaN'"],
    duckdb: ['DECIMAL(10,2)', '-99999999.99', '99999999.99', '0.10'],
  },
  {
    name: 'numeric_38_10',
    type: 'numeric(38,10)',
    values: [`-${'9'.repeat(28)}.9999999999`, `${'9'.repeat(28)}.9999999999`, '0.0000000001', "'NaN'"],
    duckdb: ['DECIMAL(38,10)', `-${'9'.repeat(28)}.9999999999`, `${'9'.repeat(28)}.9999999999`, '0.0000000001'],
  },
  {
    name: 'numeric',
    type: 'numeric',
    values: ["'-Infinity'", `${'9'.repeat(100)}.${'3'.repeat(50)}`, '1.500', "'NaN'"],
    duckdb: ['VARCHAR', '-Infinity', `${'9'.repeat(100)}.${'3'.repeat(50)}`, '1.500'],
  },
  {
    name: 'boolean',
    type: 'boolean',
    values: ['false', 'true', 'true', null],
    duckdb: ['BOOLEAN', 'false', 'true', 'true'],
  },
  {
    name: 'text',
    type: 'text',
    values: ["''", `'${LONG}'`, "E'a\\tb\\r\\n\"c\", it''s \\\\N'", null],
    duckdb: ['VARCHAR', '', LONG, 'a\tb\r\n"c", it\'s \\N'],
  },
  {
    name: 'varchar_20',
    type: 'character varying(20)',
    values: ["''", "'ěščřžýáíéúů-ĚŠČŘŽÝÁÍ'", "' padded '", null],
    duckdb: ['VARCHAR', '', 'ěščřžýáíéúů-ĚŠČŘŽÝÁÍ', ' padded '],
  },
  {
    name: 'char_5',
    type: 'character(5)',
    values: ["''", "'🐎🐎🐎🐎🐎'", "'ab'", null],
    duckdb: ['VARCHAR', '     ', '🐎🐎🐎🐎🐎', 'ab   '],
  },
  {
    name: 'uuid',
    type: 'uuid',
    values: [
      "'00000000-0000-0000-0000-000000000000'",
      "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
      "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
      null,
    ],
    duckdb: [
      'UUID',
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    ],
  },
  {
    name: 'date',
    type: 'date',
    values: ["'4713-01-01 BC'", "'5874897-12-31'", "'2024-02-29'", "'-infinity'"],
    duckdb: ['DATE', '4713-01-01 (BC)', '5874897-12-31', '2024-02-29'],
  },
  {
    name: 'timestamp',
    type: 'timestamp without time zone',
    values: [
      "'4713-01-01 00:00:00 BC'",
      "'294246-12-31 23:59:59.999999'",
      "'1969-12-31 23:59:59.999999'",
      "'infinity'",
    ],
    duckdb: ['TIMESTAMP', '4713-01-01 (BC) 00:00:00', '294246-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999'],
  },
  {
    name: 'timestamptz',
    type: 'timestamp with time zone',
    values: [
      "'4713-01-01 00:00:00+00 BC'",
      "'294246-12-31 23:59:59.999999+00'",
      "'2024-03-31 02:30:00.000001+05:30'",
      "'-infinity'",
    ],
    duckdb: [
      'TIMESTAMP WITH TIME ZONE',
      '4713-01-01 (BC) 00:00:00',
      '294246-12-31 23:59:59.999999',
      '2024-03-30 21:00:00.000001',
    ],
  },
  {
    name: 'json',
    type: 'json',
    values: ["'null'", `'{"a" : [1,  2.50, "${LONG}"], "a": 1}'`, '\'"\\u00e9"\'', null],
    duckdb: ['JSON', 'null', `{"a" : [1,  2.50, "${LONG}"], "a": 1}`, '"\\u00e9"'],
  },
  {
    name: 'jsonb',
    type: 'jsonb',
    values: ["'{}'", `'{"b": [true, 1.50], "a": null}'`, '\'"é"\'', null],
    duckdb: ['JSON', '{}', '{"a": null, "b": [true, 1.50]}', '"é"'],
  },
  {
    name: 'bytea',
    type: 'bytea',
    values: ["'\\x'", `'\\x${BYTES}'`, "'\\x00'", null],
    duckdb: ['BLOB', '', BYTES.toUpperCase(), '00'],
  },
]
