// Whether all participants did the same work: a digest of each result, Parquet read by DuckDB, tables by Postgres.
import { DuckDBInstance } from '@duckdb/node-api'
import pg from 'pg'
import type { Workload } from './workloads.ts'

export interface Digest {
  readonly rows: number
  /** Sum of a hash of the keys: the same set of rows. */
  readonly keys: number
  readonly labels: number
  readonly probabilities: number
  /** `Workload.alsoSame`. */
  readonly others: number
}

/** Of a directory of Parquet files, or of a table. */
export type Place = { readonly directory: string } | { readonly table: string; readonly databaseUrl: string }

/** Digest of the result's rows with keys up to `rows`. */
export async function digestOf(workload: Workload, rows: number, place: Place): Promise<Digest> {
  const { key, alsoSame = '0' } = workload
  const probability = Object.keys(workload.columns).at(-1)
  const from = 'directory' in place ? `read_parquet('${place.directory}/**/*.parquet')` : place.table
  const sql = `SELECT count(*)::float8 AS rows, sum((${key} * 2654435761) % 4294967296)::float8 AS keys, sum(label)::float8 AS labels,
    sum(${probability}::float8) AS probabilities, (${alsoSame})::float8 AS others FROM ${from} WHERE ${key} <= ${rows}`
  const row = 'directory' in place ? await askDuckDb(sql) : await askPostgres(place.databaseUrl, sql)
  const figure = (name: string) => Number(row[name] ?? 0)
  return {
    rows: figure('rows'),
    keys: figure('keys'),
    labels: figure('labels'),
    probabilities: figure('probabilities'),
    others: figure('others'),
  }
}

/** The figures that differ, as text; empty when both did the same. Sums of floats depend on the order in their last digits. */
export function differences(one: Digest, other: Digest): string[] {
  return (Object.keys(one) as (keyof Digest)[]).flatMap((name) => {
    const [a, b] = [one[name], other[name]]
    const exact = name === 'rows' || name === 'keys'
    const near = Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b))
    return a === b || (!exact && near) ? [] : [`${name}: ${a} and ${b}`]
  })
}

async function askDuckDb(sql: string): Promise<Record<string, unknown>> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    await connection.run("SET TimeZone = 'UTC'")
    return (await connection.runAndReadAll(sql)).getRowObjectsJson()[0] as Record<string, unknown>
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

async function askPostgres(databaseUrl: string, sql: string): Promise<Record<string, unknown>> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query(sql)).rows[0]
  } finally {
    await client.end()
  }
}
