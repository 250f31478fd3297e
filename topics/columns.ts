// Columns of a chunk in memory: Arrow's buffers, without a row ever becoming an object. Readers fill them, the scorer
// turns them into tensors, sinks turn them into COPY, Parquet and CSV bytes.

/**
 * The types that travel. Storage is Arrow's:
 * - `bool`: bitmap, least significant bit first
 * - `int16` `int32` `int64` `float32` `float64`: little-endian numbers
 * - `decimal`: 16-byte little-endian two's complement of value x 10^scale (`precision` 1–38); the smallest int128 is NaN
 * - `numeric`: decimal text of any length (also `NaN`, `Infinity`, `-Infinity`)
 * - `utf8` `json` `jsonb`: UTF-8 text; `binary`: bytes; `uuid`: 16 bytes
 * - `date`: int32 days since 1970-01-01; int32 extremes are -infinity and infinity
 * - `timestamp` (no zone) `timestamptz` (UTC): int64 microseconds since 1970-01-01; int64 extremes are -infinity and infinity
 */
export const COLUMN_KINDS = [
  'bool',
  'int16',
  'int32',
  'int64',
  'float32',
  'float64',
  'decimal',
  'numeric',
  'utf8',
  'json',
  'jsonb',
  'binary',
  'uuid',
  'date',
  'timestamp',
  'timestamptz',
] as const
export type ColumnKind = (typeof COLUMN_KINDS)[number]

/** What lists may be of: kinds whose values lie one after the other, so that a list's are what a model's tensor holds. */
export const LIST_KINDS = ['int16', 'int32', 'int64', 'float32', 'float64'] as const satisfies readonly ColumnKind[]

/** Name and type of a column. `sqlType` is how the source declared it, e.g. `character varying(20)`, if it is known. */
export interface Column {
  readonly name: string
  readonly kind: ColumnKind
  /** Only for `decimal`. */
  readonly precision?: number
  /** Only for `decimal`: digits after the point. */
  readonly scale?: number
  /** Only of a list, one of `LIST_KINDS`: elements of each row; `kind` is the elements'. */
  readonly length?: number
  readonly sqlType?: string
}

/**
 * Values of fixed width, one element (or `width` bytes) a row; of a list, `length` elements a row. A NULL's slot holds
 * zero. A list is never NULL, nor is an element of it.
 */
export interface FixedVector {
  /** Arrow validity bitmap (bit set = not NULL), or null when no value is NULL. */
  readonly validity: Uint8Array | null
  readonly nullCount: number
  readonly values: Int16Array | Int32Array | BigInt64Array | Float32Array | Float64Array | Uint8Array
}

/** Values of variable width: row i is `data[offsets[i] .. offsets[i + 1]]`; `offsets` has rows + 1 elements. */
export interface VariableVector {
  readonly validity: Uint8Array | null
  readonly nullCount: number
  readonly offsets: Int32Array
  readonly data: Uint8Array
}

export type Vector = FixedVector | VariableVector

/** A chunk's columns; `vectors[i]` belongs to `columns[i]`, all of `rows` rows. */
export interface ColumnBatch {
  readonly columns: readonly Column[]
  readonly vectors: readonly Vector[]
  readonly rows: number
}

/** Whether a kind is stored as offsets and bytes. */
export function isVariable(kind: ColumnKind): boolean {
  return kind === 'utf8' || kind === 'json' || kind === 'jsonb' || kind === 'numeric' || kind === 'binary'
}

/** The vector's fixed-width view; throws if it is of variable width (a programming error). */
export function fixed(vector: Vector): FixedVector {
  if ('offsets' in vector) throw new TypeError('expected a fixed-width vector, got one with offsets')
  return vector
}

/** The vector's variable-width view; throws if it is of fixed width (a programming error). */
export function variable(vector: Vector): VariableVector {
  if (!('offsets' in vector)) throw new TypeError('expected a variable-width vector, got a fixed-width one')
  return vector
}

/** Values in a column's vector: its rows, or the elements of all its lists. */
export function valueCount({ length = 1 }: Column, rows: number): number {
  return rows * length
}

/**
 * A list's elements as a column of their own, for the same vector: element `i` of row `r` is its value `r * length + i`.
 * So whatever writes one value of a plain column also writes a list, element by element.
 */
export function elementsOf({ length: _, ...column }: Column): Column {
  return column
}

/** A column's kind as people read it: `float32`, of a list `list<float32>`. */
export function kindName({ kind, length }: Column): string {
  return length === undefined ? kind : `list<${kind}>`
}

/** Whether row `row` is NULL. */
export function isNull(vector: Vector, row: number): boolean {
  return vector.validity !== null && (((vector.validity[row >> 3] as number) >> (row & 7)) & 1) === 0
}
