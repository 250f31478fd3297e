// Results as the tests of predictions look at them: files beside their manifest, rows as comparable text.
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { duckdb } from '../connectors/files/duckdb.ts'
import type { JsonObject } from '../harness/service.ts'

/** How DuckDB reads a result's directory. */
export function reader(destination: 'parquet' | 'csv', directory: string): string {
  return destination === 'csv'
    ? `read_csv('${directory}/*.csv', header = true, types = {'customer_id': 'BIGINT'})`
    : `read_parquet('${directory}/*.parquet')`
}

export type Normal = (value: unknown) => unknown

/** Postgres and CSV give a float32 with its shortest digits, DuckDB as the double that it is. */
export const float32: Normal = (value) => Math.fround(Number(value))

export function cells(values: readonly unknown[]): string {
  return JSON.stringify(values)
}

/** `key` → the other columns as one text. Each key must be there once. */
export function byKey(rows: readonly JsonObject[], key: string, columns: Record<string, Normal>): Map<string, string> {
  const entries = Object.entries(columns)
  const map = new Map(rows.map((row) => [String(row[key]), cells(entries.map(([name, normal]) => normal(row[name])))]))
  expect(map.size, 'rows with a key of their own').toBe(rows.length)
  return map
}

export async function manifestOf(directory: string): Promise<JsonObject> {
  return JSON.parse(await readFile(join(directory, '_manifest.json'), 'utf8'))
}

/** The directory holds the manifest's files, with the rows, bytes and hashes that it says, and nothing else. */
export async function expectFiles(
  directory: string,
  manifest: JsonObject,
  destination: 'parquet' | 'csv',
  others: readonly string[] = [],
): Promise<void> {
  const found = await Promise.all(
    manifest.files.map(async ({ name, job_id, result_id }: JsonObject) => {
      const bytes = await readFile(join(directory, name))
      const path = join(directory, name)
      const [count] = await duckdb(
        `SELECT count(*)::int AS rows FROM ${destination === 'csv' ? `read_csv('${path}', header = true)` : `'${path}'`}`,
      )
      return { name, job_id, result_id, rows: count?.rows, bytes: bytes.length, sha256: sha256(bytes) }
    }),
  )
  expect(found).toEqual(manifest.files)
  const total = (field: string) => found.reduce((sum, file) => sum + file[field], 0)
  expect([manifest.rows, manifest.bytes]).toEqual([total('rows'), total('bytes')])
  const names = found.map(({ name }) => name)
  expect((await readdir(directory)).sort()).toEqual(['_SUCCESS', '_manifest.json', ...names, ...others].sort())
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
