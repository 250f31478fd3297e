// A result directory as the sink contract looks at it, wherever it lies: its data by DuckDB, and by its manifest what is no part of it.
import { randomBytes } from 'node:crypto'
import type { Column } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput, type WriteMode } from '../../../topics/jobs.ts'
import type { Value } from '../batches.ts'
import type { SeenRow } from '../sink-contract.ts'
import { duckdb } from './duckdb.ts'

export type Format = 'parquet' | 'csv'

/** An output in a directory of its own; `under` is a path or URL without a slash at its end. */
export function freshFileOutput(destination: Format, mode: WriteMode, under: string): JobOutput {
  return { ...BARE_OUTPUT, destination, path: `${under}/${randomBytes(6).toString('hex')}`, mode, target_file_mb: 1 }
}

/** As DuckDB prints the values of all data files that are in the directory. */
export async function readDataFiles(directory: string, format: Format): Promise<SeenRow[]> {
  const files = `${directory}/*.${format}`
  // Types are not guessed: what a column of a CSV file means is the contract's to know.
  if (format === 'csv')
    return duckdb(
      `SELECT * FROM read_csv('${files}', header = true, all_varchar = true, delim = ',', quote = '"', escape = '"',
 allow_quoted_nulls = false, max_line_size = 1000000)`,
    )
  const columns = await duckdb(`DESCRIBE SELECT * FROM '${files}'`)
  const shown = columns.map(({ column_name: name, column_type: type }) =>
    type === 'BLOB' ? `hex("${name}") AS "${name}"` : `"${name}"::VARCHAR AS "${name}"`,
  )
  return duckdb(`SELECT ${shown.join(', ')} FROM '${files}'`)
}

/** The names that neither are of a result nor are named by the manifest; where a test has ruined that, or there is none, it names nothing. */
export function strayNames(names: readonly string[], manifest: string): string[] {
  const { files, results } = (manifest.startsWith('{') ? JSON.parse(manifest) : { files: [], results: [] }) as {
    files: { name: string }[]
    results: { result_id: string }[]
  }
  const kept = new Set(['_SUCCESS', '_manifest.json', ...files.map(({ name }) => name)])
  const errors = results.map(
    ({ result_id }) => new RegExp(`^_errors(/\\.directory|/part-\\d+-\\d+-${result_id}\\.jsonl)?$`),
  )
  return names.filter((name) => !kept.has(name) && !errors.some((pattern) => pattern.test(name)))
}

/** Parquet has no infinite times and no NaN among decimals; CSV is text. */
export function parquetRefuses({ kind }: Column, value: Value): boolean {
  if (kind === 'date') return Math.abs(value as number) > 10 ** 9
  if (kind === 'timestamp' || kind === 'timestamptz') return value === 2n ** 63n - 1n || value === -(2n ** 63n)
  return kind === 'decimal' && value === -(2n ** 127n)
}
