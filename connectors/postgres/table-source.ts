// Does a job write what its own query reads? By name resolution of the server, as the query itself would find its tables, through
// views, partitions and inheritance, and whichever connections lead to the database.
import pg from 'pg'
import type { Problem } from '../connector.ts'
import type { PlainSelect } from './guard.ts'
import { displayTable, quoteName, quoteTable, type TableName } from './identifiers.ts'

/**
 * The same on a primary and its replicas. The timeline tells a promoted copy from its origin; oids are those of the cluster.
 * Every role may call these functions.
 */
const IDENTITY_SQL = `
SELECT concat_ws('/', s.system_identifier, c.timeline_id, d.oid) AS identity
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()`

/** What tells the database from all others; null where the server does not say. */
export async function databaseIdentity(client: pg.ClientBase): Promise<string | null> {
  try {
    return (await client.query<{ identity: string }>(IDENTITY_SQL)).rows[0]?.identity ?? null
  } catch (error) {
    // No such function, or no right to it: something that only speaks Postgres's protocol, or a host that took the right away.
    if (error instanceof pg.DatabaseError && /^42/.test(error.code ?? '')) return null
    throw error
  }
}

/** A materialised view is not followed: it has rows of its own. */
const READS_SQL = `
WITH RECURSIVE reads (oid, named) AS (
  SELECT to_regclass(name)::oid, name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL
  UNION
  SELECT next.oid, named FROM reads CROSS JOIN LATERAL (
    SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = reads.oid
    UNION ALL
    SELECT d.refobjid FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
    WHERE v.oid = reads.oid AND v.relkind = 'v'
  ) AS next
), writes (oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2 AND c.relname = $3
  UNION
  SELECT inhrelid FROM pg_inherits JOIN writes ON inhparent = writes.oid
)
SELECT named FROM reads JOIN writes USING (oid) ORDER BY 1 LIMIT 1`

/** The problem of a query that reads the target. The client must be of the query's connection, whose search_path decides. */
export async function checkSource(
  client: pg.ClientBase,
  select: PlainSelect,
  target: TableName,
): Promise<Problem | null> {
  const names = select.tables.map(({ schema, table }) =>
    schema === null ? quoteName(table) : quoteTable({ schema, table }),
  )
  const { rows } = await client.query<{ named: string }>(READS_SQL, [names, target.schema, target.table])
  const named = rows[0]?.named
  if (named === undefined) return null
  return {
    code: 'output_is_source',
    pointer: '/output/table_name',
    detail: `the query reads ${displayTable(target)} (as ${named}), which the job would write, so it could not be repeated: choose another table`,
  }
}
