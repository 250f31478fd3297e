// Postgres types and ours: which column a described field becomes, and which type a column gets in a table of the sink.
import { type Column, type ColumnKind, elementsOf } from '../../topics/columns.ts'

/** Type oids are fixed for built-in types. Source: src/include/catalog/pg_type.dat. */
const KINDS: ReadonlyMap<number, ColumnKind> = new Map([
  [16, 'bool'],
  [21, 'int16'],
  [23, 'int32'],
  [20, 'int64'],
  [700, 'float32'],
  [701, 'float64'],
  [25, 'utf8'],
  [1043, 'utf8'],
  [1042, 'utf8'],
  [19, 'utf8'],
  [2950, 'uuid'],
  [1082, 'date'],
  [1114, 'timestamp'],
  [1184, 'timestamptz'],
  [114, 'json'],
  [3802, 'jsonb'],
  [17, 'binary'],
])

const NUMERIC_OID = 1700

/** What the elements of an array in binary format are declared as. Of a kind with several types, the first. */
export function oidOf(kind: ColumnKind): number {
  for (const [oid, each] of KINDS) if (each === kind) return oid
  throw new TypeError(`expected a kind with a type of its own, got ${kind}`)
}

/** A field of a result as the server describes it, with what the catalog says of its type. */
export interface DescribedField {
  readonly name: string
  readonly typeOid: number
  readonly typmod: number
  /** `format_type` of the type, e.g. `numeric(10,2)`. */
  readonly sqlType: string
  /** Whether values travel as plain text in binary format although the type is not built in: enums, citext. */
  readonly textual: boolean
}

/** The column for a field, or null if its type is not supported. */
export function columnOf(field: DescribedField): Column | null {
  const { name, sqlType } = field
  if (field.typeOid === NUMERIC_OID) return { name, ...numericKind(field.typmod), sqlType }
  const kind = KINDS.get(field.typeOid) ?? (field.textual ? 'utf8' : null)
  return kind && { name, kind, sqlType }
}

/** numeric(p,s) is packed as ((p << 16) | (s & 0x7ff)) + 4; -1 is a numeric without limits. */
function numericKind(typmod: number): { kind: 'decimal'; precision: number; scale: number } | { kind: 'numeric' } {
  if (typmod < 4) return { kind: 'numeric' }
  const precision = ((typmod - 4) >> 16) & 0xffff
  const scale = (((typmod - 4) & 0x7ff) ^ 0x400) - 0x400
  // Postgres also has numeric(80,0), numeric(3,-2) and numeric(2,5); a 128-bit decimal has none of them.
  if (precision > 38 || scale < 0 || scale > precision) return { kind: 'numeric' }
  return { kind: 'decimal', precision, scale }
}

const DEFAULT_TYPES: Readonly<Record<Exclude<ColumnKind, 'decimal'>, string>> = {
  bool: 'boolean',
  int16: 'smallint',
  int32: 'integer',
  int64: 'bigint',
  float32: 'real',
  float64: 'double precision',
  numeric: 'numeric',
  utf8: 'text',
  json: 'json',
  jsonb: 'jsonb',
  binary: 'bytea',
  uuid: 'uuid',
  date: 'date',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
}

/** The declared types that are kept where they say more than the kind, by kind. */
const KEPT_TYPES: Partial<Record<ColumnKind, RegExp>> = {
  utf8: /^(character varying(\(\d{1,8}\))?|character\(\d{1,8}\))$/,
  numeric: /^numeric\(\d{1,4},-?\d{1,4}\)$/,
  timestamp: /^timestamp\([0-6]\) without time zone$/,
  timestamptz: /^timestamp\([0-6]\) with time zone$/,
}

/**
 * The column's type in SQL. `sqlType` reaches this through Kafka and goes into DDL, so only texts of a known form are
 * taken over; enums and other types of the source's own become text.
 */
export function sqlTypeOf(column: Column): string {
  if (column.length !== undefined) return `${sqlTypeOf(elementsOf(column))}[]`
  if (column.kind === 'decimal')
    return `numeric(${wholeNumber(column.precision ?? 38)},${wholeNumber(column.scale ?? 0)})`
  const { sqlType } = column
  return sqlType !== undefined && KEPT_TYPES[column.kind]?.test(sqlType) ? sqlType : DEFAULT_TYPES[column.kind]
}

function wholeNumber(value: number): number {
  if (!Number.isInteger(value) || value < 0) throw new TypeError(`expected a whole number, got ${value}`)
  return value
}
