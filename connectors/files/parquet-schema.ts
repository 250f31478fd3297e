// Which Parquet type each column kind becomes. Every column is OPTIONAL, for any query column may be NULL; but for lists,
// which only models give.
import type { FieldRepetitionType, ParquetType, SchemaElement } from 'hyparquet'
import { type Column, type ColumnKind, elementsOf } from '../../topics/columns.ts'

/**
 * | kind | Parquet |
 * |---|---|
 * | bool, int32, int64, float32, float64 | BOOLEAN, INT32, INT64, FLOAT, DOUBLE |
 * | int16 | INT32, INT_16 |
 * | decimal(p, s) | DECIMAL(p, s) on INT32 (p <= 9), INT64 (p <= 18) or 16 bytes |
 * | numeric | STRING: Parquet has no decimal without bounds |
 * | utf8 · json, jsonb · binary | STRING · JSON · BYTE_ARRAY |
 * | uuid | UUID |
 * | date | DATE |
 * | timestamp, timestamptz | TIMESTAMP(MICROS), not adjusted, adjusted to UTC |
 * | a list | LIST in three levels: required group, repeated group `list`, required `element` |
 */
export function parquetSchema(columns: readonly Column[]): SchemaElement[] {
  return [{ name: 'schema', num_children: columns.length }, ...columns.flatMap(schemaElements)]
}

/** Names that lead to the values of a column. */
export function schemaPath({ name, length }: Column): string[] {
  return length === undefined ? [name] : [name, 'list', 'element']
}

/** Physical type of a column. */
export function physicalType(column: Column): ParquetType {
  if (column.kind !== 'decimal') return PHYSICAL[column.kind]
  const precision = column.precision ?? 38
  return precision <= 9 ? 'INT32' : precision <= 18 ? 'INT64' : 'FIXED_LEN_BYTE_ARRAY'
}

/** Source: Parquet's LogicalTypes.md, "Lists". */
function schemaElements(column: Column): SchemaElement[] {
  const { name, length } = column
  if (length === undefined) return [schemaElement(column, 'OPTIONAL')]
  const list = { converted_type: 'LIST', logical_type: { type: 'LIST' } } as const
  return [
    { name, repetition_type: 'REQUIRED', num_children: 1, ...list },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    schemaElement({ ...elementsOf(column), name: 'element' }, 'REQUIRED'),
  ]
}

function schemaElement(column: Column, repetition: FieldRepetitionType): SchemaElement {
  const type = physicalType(column)
  return {
    name: column.name,
    type,
    repetition_type: repetition,
    ...(type === 'FIXED_LEN_BYTE_ARRAY' ? { type_length: 16 } : {}),
    ...annotation(column),
  }
}

const PHYSICAL: Readonly<Record<Exclude<ColumnKind, 'decimal'>, ParquetType>> = {
  bool: 'BOOLEAN',
  int16: 'INT32',
  int32: 'INT32',
  int64: 'INT64',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  numeric: 'BYTE_ARRAY',
  utf8: 'BYTE_ARRAY',
  json: 'BYTE_ARRAY',
  jsonb: 'BYTE_ARRAY',
  binary: 'BYTE_ARRAY',
  uuid: 'FIXED_LEN_BYTE_ARRAY',
  date: 'INT32',
  timestamp: 'INT64',
  timestamptz: 'INT64',
}

/** Old (converted) and new (logical) annotation: readers know one or the other. */
function annotation({ kind, precision = 38, scale = 0 }: Column): Partial<SchemaElement> {
  switch (kind) {
    case 'int16':
      // No logical type: hyparquet-writer 0.17 writes its bit width as i32 where the format wants a byte, and strict
      // Thrift readers refuse the footer. The converted type alone says the same.
      return { converted_type: 'INT_16' }
    case 'decimal':
      return { converted_type: 'DECIMAL', precision, scale, logical_type: { type: 'DECIMAL', precision, scale } }
    case 'numeric':
    case 'utf8':
      return { converted_type: 'UTF8', logical_type: { type: 'STRING' } }
    case 'json':
    case 'jsonb':
      return { converted_type: 'JSON', logical_type: { type: 'JSON' } }
    case 'uuid':
      return { logical_type: { type: 'UUID' } }
    case 'date':
      return { converted_type: 'DATE', logical_type: { type: 'DATE' } }
    case 'timestamp':
      return { logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, unit: 'MICROS' } }
    case 'timestamptz':
      return {
        converted_type: 'TIMESTAMP_MICROS',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
      }
    default:
      return {}
  }
}
