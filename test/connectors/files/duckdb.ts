// Reads results back with a reader that the project did not write.
import { DuckDBInstance } from '@duckdb/node-api'

/** One for a test file: an instance costs 20 ms of CPU, a query on it half a millisecond. It has no tables. */
let opened: Promise<DuckDBInstance> | undefined

/** Rows of a query, one object each; 64-bit integers, decimals and times come as text. */
export async function duckdb(sql: string): Promise<Record<string, unknown>[]> {
  opened ??= DuckDBInstance.create(':memory:')
  const connection = await (await opened).connect()
  try {
    await connection.run("SET TimeZone = 'UTC'")
    return (await connection.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[]
  } finally {
    connection.closeSync()
  }
}
