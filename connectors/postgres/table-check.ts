// Is the target of a table job there, allowed and fit for the columns? Everything that finalising would stumble over after hours of
// scoring is looked up in the catalog before the job is accepted. Changes nothing.
import type pg from 'pg'
import type { Column } from '../../topics/columns.ts'
import type { JobOutput, WriteMode } from '../../topics/jobs.ts'
import type { Problem } from '../connector.ts'
import { displayTable, MAX_NAME_BYTES, OWN_SCHEMA, quoteName, quoteTable, type TableName } from './identifiers.ts'
import { type Dependants, dependantProblems, dependantsQuery } from './table-dependants.ts'
import { checkFit, type TargetColumn, targetColumns } from './table-fit.ts'
import { checkUniqueIndex } from './table-keys.ts'

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
  /** Of the ledger and the results; null when another role has not made them yet. */
  may_write_own: boolean | null
  may_create_in_schema: boolean | null
  /** Null when the table does not exist. */
  oid: number | null
  relkind: string
  row_security: boolean
  may_delete: boolean
  has_rules: boolean
  without_identity: boolean
}

/** Published for DELETE or UPDATE, and nothing tells its rows apart. Source: PostgreSQL, CheckCmdReplicaIdentity(). */
const WITHOUT_IDENTITY = `(c.relreplident = 'n' OR c.relreplident = 'd'
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary))
  AND EXISTS (SELECT FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
    WHERE (p.pubdelete OR p.pubupdate) AND t.schemaname = n.nspname AND t.tablename = c.relname)`

const FACTS_SQL = `
SELECT current_database() AS database, current_user AS role, current_setting('transaction_read_only') = 'on' AS read_only,
  has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
  has_schema_privilege(own.oid, 'USAGE') AND has_schema_privilege(own.oid, 'CREATE') AS may_create_in_own,
  (SELECT bool_and(has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')
    AND has_table_privilege(oid, 'DELETE')) FROM pg_class WHERE relnamespace = own.oid AND relname IN ('ledger', 'results')) AS may_write_own,
  has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema,
  c.oid, c.relkind, row_security_active(c.oid) AS row_security, has_table_privilege(c.oid, 'DELETE') AS may_delete,
  EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_type IN ('2', '3')) AS has_rules,
  ${WITHOUT_IDENTITY} AS without_identity
FROM (VALUES (1)) AS one
LEFT JOIN pg_namespace own ON own.nspname = $3
LEFT JOIN pg_namespace n ON n.nspname = $1
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2`

/** Problems of the target as it is now. */
export async function checkTarget(
  client: pg.ClientBase,
  target: TableName,
  output: JobOutput,
  columns: readonly Column[],
): Promise<Problem[]> {
  const { rows } = await client.query<Facts>(FACTS_SQL, [target.schema, target.table, OWN_SCHEMA])
  const facts = rows[0] as Facts
  const { oid } = facts
  const { mode } = output
  if (facts.read_only) {
    const detail = `the database ${facts.database} only accepts reads from the role ${facts.role}: choose a connection that may write, or a destination of files`
    return [{ code: 'connection_read_only', pointer: '/output/connection', detail }]
  }
  const problems = checkOwnSchema(facts)
  if (oid === null) return [...problems, ...checkNewTable(facts, target)]
  if (mode === 'error') return [...problems, { code: 'table_exists', pointer: TABLE, detail: tableExists(target) }]
  if (!isTable(facts.relkind)) return [...problems, { code: 'not_a_table', pointer: TABLE, detail: notATable(target) }]
  if (mode !== 'append') problems.push(...(await checkChange(client, facts, target, mode)))
  const unique = mode === 'upsert' ? await checkUniqueIndex(client, oid, target, output.key_columns ?? []) : null
  if (unique) problems.push(unique)
  return [...problems, ...(await checkTargetColumns(client, oid, facts, target, output, columns))]
}

/** Ordinary and partitioned tables. */
export function isTable(relkind: string): boolean {
  return relkind === 'r' || relkind === 'p'
}

export function tableExists(target: TableName): string {
  return `${displayTable(target)} exists, and the mode error only writes a new one: choose another name or mode, or drop it`
}

export function notATable(target: TableName): string {
  return `${displayTable(target)} exists and is no ordinary table (a view, perhaps): choose another name`
}

function checkOwnSchema({ role, database, ...facts }: Facts): Problem[] {
  const refused = (what: string, grant: string) => [
    denied(
      '/output/connection',
      `the role ${role} may not ${what} the schema ${OWN_SCHEMA}`,
      `GRANT ${grant} TO ${quoteName(role)}`,
    ),
  ]
  if (facts.may_create_in_own === null) {
    const create = `create, in the database ${database}, staging tables in`
    return facts.may_create_schema ? [] : refused(create, `CREATE ON DATABASE ${quoteName(database)}`)
  }
  if (!facts.may_create_in_own) return refused('create staging tables in', `USAGE, CREATE ON SCHEMA ${OWN_SCHEMA}`)
  if (facts.may_write_own !== false) return []
  return refused('write the ledger of', `SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${OWN_SCHEMA}`)
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

/** What replacing or merging rows needs beyond inserting them. */
async function checkChange(
  client: pg.ClientBase,
  facts: Facts,
  target: TableName,
  mode: WriteMode,
): Promise<Problem[]> {
  const dependants = (await client.query<Dependants>(dependantsQuery(target))).rows[0] as Dependants
  const problems = dependantProblems(target, mode, dependants)
  const name = displayTable(target)
  const add = (code: string, detail: string) => problems.push({ code, pointer: TABLE, detail })
  if (facts.row_security) {
    add(
      'table_row_security',
      `row-level security hides rows of ${name} from the role ${facts.role}, so the mode ${mode} would miss them: use the mode append, or a role with BYPASSRLS`,
    )
  }
  if (facts.without_identity) {
    add(
      'table_replica_identity',
      `${name} is published for replication and has no replica identity, so Postgres lets no row of it be deleted or updated: use the mode append, or give it a primary key or ALTER TABLE ${quoteTable(target)} REPLICA IDENTITY FULL`,
    )
  }
  if (mode === 'upsert' && facts.has_rules) {
    add(
      'table_has_rules',
      `${name} has rules for INSERT or UPDATE, with which Postgres allows no upsert: use a trigger instead of them`,
    )
  }
  if (mode === 'overwrite' && !facts.may_delete) {
    problems.push(
      denied(
        TABLE,
        `the role ${facts.role} may not delete from ${name}, which overwriting needs`,
        `GRANT DELETE ON ${quoteTable(target)} TO ${quoteName(facts.role)}`,
      ),
    )
  }
  return problems
}

async function checkTargetColumns(
  client: pg.ClientBase,
  oid: number,
  facts: Facts,
  target: TableName,
  output: JobOutput,
  columns: readonly Column[],
): Promise<Problem[]> {
  const there = await targetColumns(client, oid, columns)
  const misfit = checkFit(target, there, columns)
  return [...(misfit ? [misfit] : []), ...checkColumnPrivileges(facts, target, output, columns, there)]
}

/** Source: PostgreSQL, "INSERT": an upsert updates what is no key, and reads its keys and what it names as EXCLUDED. */
function checkColumnPrivileges(
  { role }: Facts,
  target: TableName,
  output: JobOutput,
  columns: readonly Column[],
  there: readonly TargetColumn[],
): Problem[] {
  const keys = output.mode === 'upsert' ? (output.key_columns ?? []) : []
  const written = there.filter(({ name, generated }) => !generated && columns.some((column) => column.name === name))
  const isKey = ({ name }: TargetColumn) => keys.includes(name)
  const needs = [
    ['INSERT', 'insert into', written.filter((column) => !column.may_insert)],
    ['UPDATE', 'update', keys.length > 0 ? written.filter((column) => !isKey(column) && !column.may_update) : []],
    ['SELECT', 'read', keys.length > 0 ? written.filter((column) => !column.may_select) : []],
  ] as const
  return needs
    .filter(([, , refused]) => refused.length > 0)
    .map(([privilege, verb, refused]) =>
      denied(
        TABLE,
        `the role ${role} may not ${verb} ${displayTable(target)} (${refused.map(({ name }) => name).join(', ')})`,
        `GRANT ${privilege} ON ${quoteTable(target)} TO ${quoteName(role)}`,
      ),
    )
}

function denied(pointer: string, what: string, grant: string): Problem {
  return { code: 'permission_denied', pointer, detail: `${what}. Its owner can change that: ${grant}` }
}
