// Parquet files as PyArrow sees them. Values come as text that is exact: bits of floats, unscaled decimals, counts of days
// and microseconds, bytes in hexadecimal; `exact` gives the same text of a value that a test wrote.
import type { Column } from '../../../topics/columns.ts'
import { python } from '../../harness/python.ts'
import type { Value } from './batches.ts'

export interface SeenStatistics {
  readonly nulls: number
  /** Null where the file has no bounds. */
  readonly min: string | null
  readonly max: string | null
}

/** A list is an array of its elements. */
export type SeenValue = string | null | readonly SeenValue[]

export interface SeenColumn {
  /** Of the values, which in a list are elements. */
  readonly name: string
  /** Names that lead to them, with points between. */
  readonly path: string
  readonly physical: string
  /** JSON of the logical type, e.g. `{"Type": "Decimal", "precision": 9, "scale": 2}`. */
  readonly logical: unknown
  /** Type of the Arrow column that PyArrow reads it as. */
  readonly arrow: string
  readonly values: readonly SeenValue[]
}

export interface SeenGroup {
  readonly rows: number
  readonly bytes: number
  readonly statistics: readonly SeenStatistics[]
  readonly codecs: readonly string[]
}

export interface SeenFile {
  readonly createdBy: string
  readonly rows: number
  readonly columns: readonly SeenColumn[]
  readonly groups: readonly SeenGroup[]
}

export function readParquet(paths: readonly string[]): Promise<SeenFile[]> {
  return python<SeenFile[]>(PROGRAM, paths)
}

/** The text by which `readParquet` shows this value. */
export function exact({ kind }: Column, value: Value): string | null {
  if (value === null) return null
  if (kind === 'uuid') return (value as string).replaceAll('-', '')
  if (kind === 'binary') return Buffer.from(value as Uint8Array).toString('hex')
  if (kind !== 'float32' && kind !== 'float64') return String(value)
  const bits = Buffer.alloc(8)
  bits.writeDoubleLE(kind === 'float32' ? Math.fround(value as number) : (value as number))
  return bits.toString('hex')
}

const PROGRAM = `
import json, struct, sys
import pyarrow as pa, pyarrow.parquet as pq

def unscaled(value):
    sign, digits, _ = value.as_tuple()
    return (-1 if sign else 1) * int(''.join(map(str, digits)))

def exact(type, value):
    if value is None: return None
    if isinstance(value, list): return [exact(type.value_type, each) for each in value]
    if pa.types.is_boolean(type): return 'true' if value else 'false'
    if pa.types.is_floating(type): return struct.pack('<d', value).hex()
    if pa.types.is_decimal(type): return str(unscaled(value))
    if isinstance(value, bytes): return value.hex()
    return str(value)

def values(column):
    type = column.type
    if isinstance(type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type.storage_type)
    if pa.types.is_timestamp(type): column = column.cast(pa.int64())
    if pa.types.is_date(type): column = column.cast(pa.int32())
    return [exact(column.type, value) for value in column.to_pylist()]

def bound(physical, logical, raw):
    if physical in ('FLOAT', 'DOUBLE'): return struct.pack('<d', raw).hex()
    if physical == 'BOOLEAN': return 'true' if raw else 'false'
    if not isinstance(raw, bytes): return str(raw)
    if logical == 'Decimal': return str(int.from_bytes(raw, 'big', signed=True))
    return raw.decode() if logical == 'String' else raw.hex()

def statistics(column):
    found = column.statistics
    logical = json.loads(found.logical_type.to_json())['Type']
    show = lambda raw: bound(column.physical_type, logical, raw)
    bounds = (show(found.min_raw), show(found.max_raw)) if found.has_min_max else (None, None)
    return {'nulls': found.null_count if found.has_null_count else None, 'min': bounds[0], 'max': bounds[1]}

def group(found):
    columns = [found.column(j) for j in range(found.num_columns)]
    return {'rows': found.num_rows, 'bytes': found.total_byte_size,
            'statistics': [statistics(column) for column in columns], 'codecs': [column.compression for column in columns]}

def seen(path):
    with pq.ParquetFile(path) as file:
        table, meta = file.read(), file.metadata
        columns = [{'name': schema.name, 'path': schema.path, 'physical': schema.physical_type, 'logical': json.loads(schema.logical_type.to_json()),
                    'arrow': str(table.schema.field(j).type), 'values': values(table.column(j))}
                   for j, schema in enumerate(file.schema.column(j) for j in range(meta.num_columns))]
        return {'createdBy': meta.created_by, 'rows': meta.num_rows, 'columns': columns,
                'groups': [group(meta.row_group(i)) for i in range(meta.num_row_groups)]}

print(json.dumps([seen(path) for path in sys.argv[1:]]))
`
