// What is scored: rows, query, model and result of each workload. The tables are filled by tables.ts, the models made by models.py.
import { join } from 'node:path'
import type { ColumnKind } from '../../topics/columns.ts'

export interface Workload {
  readonly name: string
  readonly about: string
  /** Rows unless BENCH_ROWS says otherwise. */
  readonly rows: number
  readonly table: string
  /** Unique and without gaps from 1 on. */
  readonly key: string
  /** Of the query, the key first. */
  readonly select: readonly string[]
  /** A path, or a name in the folder of models. */
  readonly model: string
  /** Of the model's one tensor; null: one input for each column. */
  readonly features: readonly string[] | null
  /** Of the result: name and kind. */
  readonly columns: Readonly<Record<string, ColumnKind>>
  /** Rows of a chunk, and of a run of the model in the peers; null: what is best for each. */
  readonly batchRows: number | null
  /** SQL over the result that DuckDB and Postgres understand: what must come out the same besides keys, labels and probabilities. */
  readonly alsoSame?: string
}

const CHURN = join(import.meta.dirname, '../../examples/churn/churn.onnx')
const CHARGES = ['tenure', 'monthly_charges', 'total_charges']
const TWO: Workload['columns'] = { label: 'int64', probabilities_0: 'float32', probabilities_1: 'float32' }
const WIDE = Array.from({ length: 100 }, (_, i) => `x${i}`)
const PIXELS = Array.from({ length: 784 }, (_, i) => `p${i}`)
const FLIGHT = ['carrier', 'origin', 'dest', 'month', 'hour', 'distance', 'dep_delay']

const customers: Omit<Workload, 'name' | 'about' | 'model'> = {
  rows: 2_000_000,
  table: 'customers',
  key: 'customer_id',
  select: ['customer_id', ...CHARGES],
  features: CHARGES,
  columns: { customer_id: 'int64', ...TWO },
  batchRows: null,
}

const pictures = (batchRows: number): Workload => ({
  name: `net-${batchRows}`,
  about: `28x28 feed-forward net, batches of ${batchRows}`,
  rows: 50_000,
  table: 'pictures',
  key: 'picture_id',
  select: ['picture_id', ...PIXELS],
  model: 'net.onnx',
  features: PIXELS,
  columns: {
    picture_id: 'int64',
    label: 'int64',
    ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`probabilities_${i}`, 'float32' as const])),
  },
  batchRows,
})

export const WORKLOADS: readonly Workload[] = [
  { ...customers, name: 'logistic', about: 'logistic regression, bound by moving data', model: 'logistic.onnx' },
  { ...customers, name: 'gbm', about: 'gradient boosting, 100 trees, balanced', model: CHURN },
  { ...customers, name: 'forest', about: 'random forest 100x10, bound by scoring', model: 'forest.onnx' },
  {
    ...customers,
    name: 'perceptron',
    about: '3 -> 2048 -> 2048 -> 2 perceptron, bound by nothing but scoring',
    rows: 100_000,
    model: 'perceptron.onnx',
    // Small, so that the scorers have the same to the end.
    batchRows: 1000,
  },
  {
    name: 'wide',
    about: 'logistic regression over 100 float columns',
    rows: 1_000_000,
    table: 'wide',
    key: 'row_id',
    select: ['row_id', ...WIDE],
    model: 'wide.onnx',
    features: WIDE,
    columns: { row_id: 'int64', ...TWO },
    batchRows: null,
  },
  {
    ...customers,
    name: 'strings',
    about: 'gradient boosting; three strings and two timestamps pass through',
    rows: 1_000_000,
    table: 'subscribers',
    select: ['customer_id', 'full_name', 'email', 'plan', 'seen_at', 'joined_at', ...CHARGES],
    model: CHURN,
    columns: {
      customer_id: 'int64',
      full_name: 'utf8',
      email: 'utf8',
      plan: 'utf8',
      seen_at: 'timestamptz',
      joined_at: 'timestamp',
      ...TWO,
    },
    alsoSame:
      'sum(length(full_name) + length(email) + length(plan)) + sum(extract(epoch FROM seen_at)::float8) + sum(extract(epoch FROM joined_at)::float8)',
  },
  {
    name: 'flights',
    about: 'nycflights13: one input for each column, three of them strings',
    rows: 327_346,
    table: 'flights',
    key: 'flight_id',
    select: ['flight_id', ...FLIGHT],
    model: 'flights.onnx',
    features: null,
    columns: { flight_id: 'int64', ...TWO },
    batchRows: null,
  },
  ...[1, 32, 512].map(pictures),
]

/** The query of the first `rows` rows; without a condition if that is all of them. */
export function queryOf({ select, table, key }: Workload, rows: number, tableRows: number): string {
  const all = `SELECT ${select.join(', ')} FROM ${table}`
  return rows >= tableRows ? all : `${all} WHERE ${key} <= ${rows}`
}

const SQL_TYPES: Partial<Record<ColumnKind, string>> = {
  int64: 'bigint',
  float32: 'real',
  utf8: 'text',
  timestamptz: 'timestamptz',
  timestamp: 'timestamp',
}

/** Of a table for the result. */
export function columnDefinitions({ columns }: Workload): string {
  return Object.entries(columns)
    .map(([name, kind]) => `${name} ${SQL_TYPES[kind]}`)
    .join(', ')
}
