// Failed rows in a size that travels: they go along with their chunk in one record, and each is a dead letter of its own. A chunk of
// a hundred thousand rows that the model refuses, or a row of a thousand long texts, would fit into neither. Pure.
import type { FailedRow } from '../../topics/scored.ts'
import { cut, MESSAGE_CHARS } from '../cut.ts'

/** Of one row: a dead letter goes to a topic whose brokers may take no more than 1 MiB. */
const ROW_BYTES = 800_000
/** Of a chunk's: the record has up to 8 MiB of predictions beside it, and may have 16 MiB. */
const CHUNK_BYTES = 7 * 1024 * 1024

/** How much of each text is kept, more and more of it given up. */
const CUTS: readonly { readonly reason: number; readonly cell: number }[] = [
  { reason: 2_000, cell: 200 },
  { reason: 500, cell: 50 },
  { reason: 100, cell: 10 },
]
/** At last only which row it is, and as much of the reason as tells one from another. */
const SHORTEST_REASON = 20

/** The rows as they are, or with shorter texts; the value of `keyColumn` goes last. */
export function fittingRows(failed: readonly FailedRow[], keyColumn: string | null): FailedRow[] {
  const all = failed.map((row) => ({ ...row, reason: cut(row.reason, MESSAGE_CHARS) }))
  if (bytesOf(all) <= ROW_BYTES) return all
  const each = all.flatMap((row) => fitted([row], keyColumn, ROW_BYTES))
  return fitted(each, keyColumn, CHUNK_BYTES)
}

function fitted(rows: readonly FailedRow[], keyColumn: string | null, maxBytes: number): FailedRow[] {
  let cutRows = [...rows]
  for (const { reason, cell } of CUTS) {
    if (bytesOf(cutRows) <= maxBytes) return cutRows
    cutRows = rows.map((row) => ({
      ...row,
      reason: cut(row.reason, reason),
      input: mapped(row.input, (text, name) => (name === keyColumn ? text : cut(text, cell))),
    }))
  }
  if (bytesOf(cutRows) <= maxBytes) return cutRows
  const withKey = rows.map((row) => ({
    ...row,
    reason: cut(row.reason, SHORTEST_REASON),
    input: keyColumn !== null && keyColumn in row.input ? { [keyColumn]: row.input[keyColumn] ?? null } : {},
  }))
  return bytesOf(withKey) <= maxBytes ? withKey : withKey.map((row) => ({ ...row, input: {} }))
}

function mapped(input: FailedRow['input'], map: (text: string, name: string) => string): FailedRow['input'] {
  return Object.fromEntries(Object.entries(input).map(([name, text]) => [name, text === null ? null : map(text, name)]))
}

function bytesOf(rows: readonly FailedRow[]): number {
  return Buffer.byteLength(JSON.stringify(rows))
}
