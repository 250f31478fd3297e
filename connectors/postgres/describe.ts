// What a query will give, without running it: names and types by the protocol's Parse and Describe, then an EXPLAIN, which plans
// the query and checks the role's permissions (Parse does not) but executes nothing.
import pg from 'pg'
import type { Column } from '../../topics/columns.ts'
import type { Problem } from '../connector.ts'
import { ConnectorError } from '../connector.ts'
import { connectorError, serverMessage } from './errors.ts'
import { linePosition, type PlainSelect } from './guard.ts'
import { columnOf, type DescribedField } from './types.ts'

const POINTER = '/input/query'

/** Columns of the query, or what is wrong with it. The client must be in a read-only transaction; it may be aborted after. */
export async function describeQuery(
  client: pg.ClientBase,
  query: string,
  select: PlainSelect,
): Promise<{ columns: Column[] } | { problems: Problem[] }> {
  try {
    const fields = await describeFields(client, select.text)
    const described = columnsOf(fields)
    // The extended protocol takes one statement only, whatever the text is.
    if ('columns' in described)
      await client.query({ text: `EXPLAIN ${select.text}`, queryMode: 'extended' } as pg.QueryConfig)
    return described
  } catch (error) {
    const problem = error instanceof pg.DatabaseError ? describeProblem(error, query, select.offset) : null
    if (problem) return { problems: [problem] }
    throw connectorError(error, 'query_failed')
  }
}

/** Throws `schema_changed` unless the query still gives `columns`: what a model was bound to must not shift under it. */
export async function requireColumns(
  client: pg.ClientBase,
  select: PlainSelect,
  columns: readonly Column[],
): Promise<void> {
  const described = columnsOf(await describeFields(client, select.text))
  const now = 'columns' in described ? described.columns : []
  if ('columns' in described && signature(now) === signature(columns)) return
  throw new ConnectorError(
    'schema_changed',
    `the query's columns changed since the job was accepted: expected ${signature(columns)}, got ${signature(now)}. Submit the job again.`,
    { retriable: false },
  )
}

function signature(columns: readonly Column[]): string {
  return columns
    .map(({ name, kind, precision, scale }) => `${name} ${kind}${kind === 'decimal' ? `(${precision},${scale})` : ''}`)
    .join(', ')
}

function columnsOf(fields: readonly DescribedField[]): { columns: Column[] } | { problems: Problem[] } {
  const columns: Column[] = []
  const problems: Problem[] = []
  const seen = new Set<string>()
  if (fields.length === 0) problems.push(problem('no_columns', 'expected a query with at least one column, got none'))
  for (const field of fields) {
    const { name } = field
    if (name === '' || name === '?column?') {
      problems.push(
        problem(
          'duplicate_column',
          `column ${fields.indexOf(field) + 1} has no name: give it an alias (… AS some_name)`,
        ),
      )
    } else if (seen.has(name)) {
      problems.push(
        problem(
          'duplicate_column',
          `the query has more than one column ${name}: give each of them an alias of its own (… AS some_name)`,
        ),
      )
    }
    seen.add(name)
    const column = columnOf(field)
    if (column) columns.push(column)
    else
      problems.push(
        problem(
          'unsupported_column_type',
          `column ${name} has the type ${field.sqlType}, which cannot be read: cast it, for example ${name}::text`,
        ),
      )
  }
  return problems.length > 0 ? { problems } : { columns }
}

/** A domain has been replaced by its base type in the description; enums and citext are sent as their text. */
const TYPES_SQL = `
SELECT format_type(t.oid, f.typmod) AS sql_type, t.typtype = 'e' OR t.typname = 'citext' AS textual
FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS f (oid, typmod, i) JOIN pg_type t USING (oid) ORDER BY f.i`

interface TypeName {
  readonly sql_type: string
  readonly textual: boolean
}

/** From here on OIDs are those of types that somebody has made, may change and drop. Source: PostgreSQL, `FirstNormalObjectId`. */
const FIRST_MADE_OID = 16_384
/** Built-in types by `oid/typmod`, which are the same in every database: asking costs a round trip on each job's way. */
const builtIn = new Map<string, TypeName>()

async function describeFields(client: pg.ClientBase, sql: string): Promise<DescribedField[]> {
  const fields = await describeStatement(client, sql)
  const names = await typeNames(client, fields)
  return fields.map((field, i) => ({
    name: field.name,
    typeOid: field.dataTypeID,
    typmod: field.dataTypeModifier,
    sqlType: names[i]?.sql_type ?? `type ${field.dataTypeID}`,
    textual: names[i]?.textual ?? false,
  }))
}

async function typeNames(
  client: pg.ClientBase,
  fields: readonly pg.FieldDef[],
): Promise<readonly (TypeName | undefined)[]> {
  const keys = fields.map(({ dataTypeID, dataTypeModifier }) => `${dataTypeID}/${dataTypeModifier}`)
  if (keys.every((key) => builtIn.has(key))) return keys.map((key) => builtIn.get(key))
  const oids = fields.map((field) => field.dataTypeID)
  const typmods = fields.map((field) => field.dataTypeModifier)
  const { rows } = await client.query<TypeName>(TYPES_SQL, [oids, typmods])
  // Of a type that was dropped meanwhile there is no row, and then the places do not tell.
  if (rows.length === fields.length)
    for (const [i, { dataTypeID }] of fields.entries())
      if (dataTypeID < FIRST_MADE_OID) builtIn.set(keys[i] as string, rows[i] as TypeName)
  return rows
}

/**
 * Parse and Describe of a statement, as psql's \gdesc does it: `SELECT … LIMIT 0` would still start the executor, and with it
 * functions in FROM and sorts below the limit.
 */
function describeStatement(client: pg.ClientBase, text: string): Promise<readonly pg.FieldDef[]> {
  return new Promise((resolve, reject) => {
    let fields: readonly pg.FieldDef[] = []
    const statement = {
      submit(connection: pg.Connection) {
        connection.parse({ name: '', text, types: [] }, true)
        connection.describe({ type: 'S', name: '' }, true)
        connection.sync()
      },
      handleRowDescription(message: { fields: readonly pg.FieldDef[] }) {
        fields = message.fields
      },
      handleReadyForQuery: () => resolve(fields),
      handleError: reject,
    }
    client.query(statement)
  })
}

/** SQLSTATE → our code, for faults of the query. Source: PostgreSQL, appendix A. */
const CODES: Readonly<Record<string, string>> = {
  '42P01': 'table_not_found',
  '3F000': 'table_not_found',
  '42703': 'column_not_found',
  '42883': 'function_not_found',
  '42501': 'permission_denied',
  '42601': 'sql_syntax',
}

/** Null when the error is not the query's fault. Classes: 0A not supported, 21 and 22 data, 25 writes, 42 names and types. */
function describeProblem(error: pg.DatabaseError, query: string, offset: number): Problem | null {
  const state = error.code ?? ''
  const code = CODES[state] ?? (/^(0A|21|22|25006|42)/.test(state) ? 'sql_invalid' : null)
  if (code === null) return null
  // Only the planner's and the executor's complaints come with the EXPLAIN, and those carry no position.
  const position = Number(error.position ?? 0)
  const place = position > 0 ? ` (${linePosition(query, position + offset)})` : ''
  return problem(code, `${serverMessage(error)}${place}`)
}

function problem(code: string, detail: string): Problem {
  return { code, pointer: POINTER, detail }
}
