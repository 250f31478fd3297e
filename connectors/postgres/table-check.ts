// Is the target of a table job there, allowed and fit for the columns? Everything that finalising would stumble over after hours of
// scoring is looked up in the catalog before the job is accepted. Changes nothing.
import type pg from 'pg'
import type { Column } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'
import type { Problem } from '../connector.ts'
import type { PlainSelect } from './guard.ts'
import { displayTable, MAX_NAME_BYTES, OWN_SCHEMA, quoteName, quoteTable, type TableName } from './identifiers.ts'
import { sqlTypeOf } from './types.ts'

const TABLE = '/output/table_name'
const COLUMNS = '/output/columns'

/** Postgres allows 1,600 columns in a table, and reserves the names of its system columns. */
const MAX_COLUMNS = 1600
const SYSTEM_COLUMNS = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

/** Problems of the columns themselves, whatever the target. */
export function checkColumns(columns: readonly Column[]): Problem[] {
  const problems: Problem[] = []
  const seen = new Set<string>()
  const add = (code: string, detail: string) => problems.push({ code, pointer: COLUMNS, detail })
  if (columns.length > MAX_COLUMNS)
    add('too_many_columns', `expected at most ${MAX_COLUMNS} columns, got ${columns.length}`)
  for (const { name } of columns) {
    if (seen.has(name))
      add('duplicate_column', `the output has more than one column ${name}: give the query's column an alias`)
    if (name === '' || Buffer.byteLength(name) > MAX_NAME_BYTES || SYSTEM_COLUMNS.has(name) || name.includes('\0')) {
      add(
        'column_name_invalid',
        `${JSON.stringify(name)} cannot be a table's column: expected 1 to ${MAX_NAME_BYTES} bytes and no name of Postgres's own (${[...SYSTEM_COLUMNS].join(', ')})`,
      )
    }
    seen.add(name)
  }
  return problems
}

interface Facts {
  database: string
  role: string
  read_only: boolean
  may_create_schema: boolean
  /** Null when the schema does not exist. */
  may_create_in_own: boolean | null
  may_create_in_schema: boolean | null
  /** Null when the table does not exist. */
  oid: number | null
  relkind: string
  row_security: boolean
  may_delete: boolean
  referenced_by: string | null
}

const FACTS_SQL = `
SELECT current_database() AS database, current_user AS role, current_setting('transaction_read_only') = 'on' AS read_only,
  has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
  has_schema_privilege(own.oid, 'USAGE') AND has_schema_privilege(own.oid, 'CREATE') AS may_create_in_own,
  has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema,
  c.oid, c.relkind, row_security_active(c.oid) AS row_security, has_table_privilege(c.oid, 'DELETE') AS may_delete,
  (SELECT string_agg(DISTINCT conrelid::regclass::text, ', ') FROM pg_constraint
    WHERE contype = 'f' AND confrelid = c.oid AND conrelid <> c.oid) AS referenced_by
FROM (VALUES (1)) AS one
LEFT JOIN pg_namespace own ON own.nspname = $3
LEFT JOIN pg_namespace n ON n.nspname = $1
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2`

/** Problems of the target; `select` is the job's query if it reads from the same database. */
export async function checkTarget(
  client: pg.ClientBase,
  target: TableName,
  output: JobOutput,
  columns: readonly Column[],
  select: PlainSelect | null,
): Promise<Problem[]> {
  const { rows } = await client.query<Facts>(FACTS_SQL, [target.schema, target.table, OWN_SCHEMA])
  const facts = rows[0] as Facts
  if (facts.read_only) {
    const detail = `the database ${facts.database} only accepts reads from the role ${facts.role}: choose a connection that may write, or a destination of files`
    return [{ code: 'connection_read_only', pointer: '/output/connection', detail }]
  }
  const problems = checkOwnSchema(facts)
  if (facts.oid === null) return [...problems, ...checkNewTable(facts, target)]
  if (facts.relkind !== 'r' && facts.relkind !== 'p') {
    return [
      {
        code: 'not_a_table',
        pointer: TABLE,
        detail: `${displayTable(target)} exists and is no ordinary table (a view, perhaps): choose another name`,
      },
    ]
  }
  if (output.mode === 'overwrite') problems.push(...(await checkOverwrite(client, facts, target, select)))
  return [...problems, ...(await checkTargetColumns(client, facts, target, columns))]
}

function checkOwnSchema(facts: Facts): Problem[] {
  if (facts.may_create_in_own ?? facts.may_create_schema) return []
  const grant =
    facts.may_create_in_own === null
      ? `GRANT CREATE ON DATABASE ${quoteName(facts.database)} TO ${quoteName(facts.role)}`
      : `GRANT USAGE, CREATE ON SCHEMA ${OWN_SCHEMA} TO ${quoteName(facts.role)}`
  return [
    denied(
      '/output/connection',
      `the role ${facts.role} may not create staging tables in the schema ${OWN_SCHEMA}`,
      grant,
    ),
  ]
}

function checkNewTable(facts: Facts, target: TableName): Problem[] {
  if (facts.may_create_in_schema ?? facts.may_create_schema) return []
  const schema = quoteName(target.schema)
  return facts.may_create_in_schema === null
    ? [
        denied(
          TABLE,
          `the schema ${target.schema} does not exist and the role ${facts.role} may not create it`,
          `CREATE SCHEMA ${schema} AUTHORIZATION ${quoteName(facts.role)}`,
        ),
      ]
    : [
        denied(
          TABLE,
          `the role ${facts.role} may not create tables in the schema ${target.schema}`,
          `GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${quoteName(facts.role)}`,
        ),
      ]
}

async function checkOverwrite(
  client: pg.ClientBase,
  facts: Facts,
  target: TableName,
  select: PlainSelect | null,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const name = displayTable(target)
  if (facts.referenced_by !== null) {
    problems.push({
      code: 'table_referenced',
      pointer: TABLE,
      detail: `foreign keys of ${facts.referenced_by} refer to ${name}, so its rows cannot be replaced: use the mode append, or another table`,
    })
  }
  if (facts.row_security) {
    problems.push({
      code: 'table_row_security',
      pointer: TABLE,
      detail: `row-level security hides rows of ${name} from the role ${facts.role}, so overwriting would leave them: use the mode append, or a role with BYPASSRLS`,
    })
  }
  if (!facts.may_delete) {
    problems.push(
      denied(
        TABLE,
        `the role ${facts.role} may not delete from ${name}, which overwriting needs`,
        `GRANT DELETE ON ${quoteTable(target)} TO ${quoteName(facts.role)}`,
      ),
    )
  }
  if (select && (await readsTable(client, facts, select))) {
    problems.push({
      code: 'output_is_input',
      pointer: TABLE,
      detail: `the query reads ${name}, which the job would overwrite, so it could not be repeated: choose another table, or the mode append`,
    })
  }
  return problems
}

/** By name resolution of the server, as the query itself would find its tables. */
async function readsTable(client: pg.ClientBase, facts: Facts, select: PlainSelect): Promise<boolean> {
  const names = select.tables.map(({ schema, table }) =>
    schema === null ? quoteName(table) : quoteTable({ schema, table }),
  )
  const { rows } = await client.query<{ reads: boolean | null }>(
    'SELECT bool_or(to_regclass(name) = $2::oid) AS reads FROM unnest($1::text[]) AS name',
    [names, facts.oid],
  )
  return rows[0]?.reads ?? false
}

interface TargetColumn {
  name: string
  type: string
  required: boolean
  generated: boolean
  may_insert: boolean
  /** Null for a column that the output has not. */
  assignable: boolean | null
}

/** Assignment casts are those of pg_cast, and any type to text. Source: PostgreSQL, "CREATE CAST". */
const COLUMNS_SQL = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
  a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
  has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS may_insert,
  o.type IS NOT NULL AND (o.type = base.oid OR base.typcategory = 'S'
    OR EXISTS (SELECT FROM pg_cast WHERE castsource = o.type AND casttarget = base.oid AND castcontext IN ('a', 'i'))) AS assignable
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN (SELECT name, type::regtype::oid AS type FROM unnest($2::text[], $3::text[]) AS given (name, type)) AS o ON o.name = a.attname
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

async function checkTargetColumns(
  client: pg.ClientBase,
  facts: Facts,
  target: TableName,
  columns: readonly Column[],
): Promise<Problem[]> {
  const types = columns.map(sqlTypeOf)
  const { rows } = await client.query<TargetColumn>(COLUMNS_SQL, [
    facts.oid,
    columns.map((column) => column.name),
    types,
  ])
  const existing = new Map(rows.map((row) => [row.name, row]))
  const differences: string[] = []
  const refused: string[] = []
  columns.forEach((column, i) => {
    const there = existing.get(column.name)
    existing.delete(column.name)
    if (!there) differences.push(`${column.name} (${types[i]}) is missing in the table`)
    else if (there.generated) differences.push(`${column.name} is generated by the table and takes no values`)
    else if (!there.assignable)
      differences.push(`${column.name} is ${there.type} in the table and ${types[i]} in the output`)
    else if (!there.may_insert) refused.push(column.name)
  })
  for (const extra of existing.values()) {
    if (extra.required && !extra.generated)
      differences.push(`${extra.name} (${extra.type}) is NOT NULL without a default in the table and not in the output`)
  }
  const name = displayTable(target)
  return [
    ...(differences.length > 0
      ? [
          {
            code: 'column_mismatch',
            pointer: TABLE,
            detail: `the output does not fit ${name}: ${differences.join('; ')}. Change the query or the table, or choose another table.`,
          },
        ]
      : []),
    ...(refused.length > 0
      ? [
          denied(
            TABLE,
            `the role ${facts.role} may not insert into ${name} (${refused.join(', ')})`,
            `GRANT INSERT ON ${quoteTable(target)} TO ${quoteName(facts.role)}`,
          ),
        ]
      : []),
  ]
}

function denied(pointer: string, what: string, grant: string): Problem {
  return { code: 'permission_denied', pointer, detail: `${what}. Its owner can change that: ${grant}` }
}
