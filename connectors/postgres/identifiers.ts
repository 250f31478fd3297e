// Names in SQL: how a request's table name is read, which names it may not have, and how every name is quoted.
import type { Problem } from '../connector.ts'

/**
 * Where the sink keeps its ledger, results and staging tables, in each database that it writes to. Not `scoreline`: a role of that
 * name has such a schema first in its search_path ("$user"), and tables that people create would land between ours.
 */
export const OWN_SCHEMA = 'scoreline_sink'

/** Postgres cuts longer names silently, and then two of them may be one. */
export const MAX_NAME_BYTES = 63

export interface TableName {
  readonly schema: string
  readonly table: string
}

/** An identifier as SQL, always in quotes: keywords, capitals and quotes inside are then no matter. */
export function quoteName(name: string): string {
  if (name.includes('\0')) throw new TypeError('expected a name without zero characters')
  return `"${name.replaceAll('"', '""')}"`
}

export function quoteTable(name: TableName): string {
  return `${quoteName(name.schema)}.${quoteName(name.table)}`
}

/** A string literal that does not depend on `standard_conforming_strings`. */
export function quoteText(text: string): string {
  if (text.includes('\0')) throw new TypeError('expected a text without zero characters')
  const doubled = text.replaceAll("'", "''")
  return text.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}

/** The name as a person writes it: in quotes only where it needs them. */
export function displayTable({ schema, table }: TableName): string {
  return [schema, table].map((part) => (/^[a-z_][a-z0-9_$]*$/.test(part) ? part : quoteName(part))).join('.')
}

const PART = /"((?:[^"\0]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*)/uy

/**
 * Reads `table`, `schema.table` or their quoted forms; without a schema it is `public`. Unquoted names are folded to lower
 * case, as SQL does.
 */
export function parseTableName(text: string | null): TableName | Problem {
  const parts = splitName(text ?? '')
  const [first, second] = parts ?? []
  if (!parts || first === undefined || parts.length > 2) {
    return problem(
      'table_name_invalid',
      `expected a table as "table" or "schema.table", got ${JSON.stringify(text)}. Put names with other characters in double quotes.`,
    )
  }
  const name = second === undefined ? { schema: 'public', table: first } : { schema: first, table: second }
  const long = [name.schema, name.table].find((part) => Buffer.byteLength(part) > MAX_NAME_BYTES)
  if (long !== undefined) {
    return problem(
      'table_name_invalid',
      `expected names of at most ${MAX_NAME_BYTES} bytes, got ${Buffer.byteLength(long)} in ${JSON.stringify(long)}`,
    )
  }
  if (/^pg_/i.test(name.schema) || name.schema.toLowerCase() === 'information_schema' || name.schema === OWN_SCHEMA) {
    return problem(
      'table_name_reserved',
      `the schema ${name.schema} belongs to ${name.schema === OWN_SCHEMA ? 'Scoreline' : 'Postgres'} itself: choose another one for the output table`,
    )
  }
  return name
}

function splitName(text: string): string[] | null {
  const parts: string[] = []
  let at = 0
  for (;;) {
    PART.lastIndex = at
    const match = PART.exec(text)
    if (!match) return null
    parts.push(match[1] === undefined ? foldCase(match[2] as string) : match[1].replaceAll('""', '"'))
    at = PART.lastIndex
    if (at === text.length) return parts
    if (text[at] !== '.') return null
    at += 1
  }
}

/** Only ASCII, as the server does it. */
function foldCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

function problem(code: string, detail: string): Problem {
  return { code, pointer: '/output/table_name', detail }
}
