// Queries for chosen rows, to run a job again over just those that failed: the same query for given keys, or the rows
// themselves as a query.
import type { Column } from '../../topics/columns.ts'
import { guardQuery } from './guard.ts'
import { quoteName, quoteText } from './identifiers.ts'

/** The rows of `query` whose `column` has one of these values, given as Postgres writes them. */
export async function queryForKeys(query: string, column: Column, keys: readonly string[]): Promise<string> {
  const guarded = await guardQuery(query)
  if ('problem' in guarded) throw new TypeError(`a job's query must be sound: ${guarded.problem.detail}`)
  const values = keys.map((key) => `${quoteText(key)}::${column.sqlType ?? 'text'}`)
  // The newline ends a comment that would swallow the parenthesis.
  return `SELECT * FROM (${guarded.select.text}\n) AS scored WHERE ${quoteName(column.name)} IN (${values.join(', ')})`
}

/** A query that gives these rows, with the columns' types. Cells are text as Postgres writes it, null for NULL. */
export function queryOfRows(
  columns: readonly Column[],
  rows: readonly Readonly<Record<string, string | null>>[],
): string {
  const names = columns.map(({ name }) => quoteName(name))
  const typed = columns.map(({ sqlType }, i) => `${names[i]}::${sqlType ?? 'text'}`)
  const records = quoteText(JSON.stringify(rows))
  return `SELECT ${typed.join(', ')} FROM json_to_recordset(${records}) AS failed(${names.map((name) => `${name} text`).join(', ')})`
}
