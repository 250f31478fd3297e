// What hangs on a table that is to be overwritten, and what overwriting would do to it. Asked before a job is accepted and again in
// the finalising transaction: scoring may take hours, and in between a table can get a foreign key that would delete rows elsewhere.
import type { WriteMode } from '../../topics/jobs.ts'
import type { Problem } from '../connector.ts'
import { displayTable, quoteText, type TableName } from './identifiers.ts'

export interface Dependants {
  /** Tables whose foreign keys refer to the target and only object (NO ACTION), or null. */
  readonly referenced_by: string | null
  /** Those whose foreign keys would delete or change rows, or let nothing be deleted, or null. */
  readonly bound_by: string | null
  /** Child tables by inheritance, which a DELETE would empty too, or null. */
  readonly inherited_by: string | null
}

/** One row. */
export function dependantsQuery(target: TableName): string {
  const [schema, table] = [quoteText(target.schema), quoteText(target.table)]
  // A foreign key may refer to one partition alone.
  return `WITH target AS (SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ${schema} AND c.relname = ${table}),
family AS (SELECT oid FROM target UNION SELECT relid FROM target, pg_partition_tree(target.oid) WHERE relkind = 'p'),
refs AS (SELECT conrelid, confdeltype FROM pg_constraint
  WHERE contype = 'f' AND confrelid IN (SELECT oid FROM family) AND conrelid NOT IN (SELECT oid FROM family))
SELECT (SELECT string_agg(DISTINCT conrelid::regclass::text, ', ') FROM refs WHERE confdeltype = 'a') AS referenced_by,
  (SELECT string_agg(DISTINCT conrelid::regclass::text, ', ') FROM refs WHERE confdeltype <> 'a') AS bound_by,
  (SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits, target WHERE inhparent = oid AND relkind = 'r') AS inherited_by`
}

/** Why the rows of the target cannot be replaced, or merged with others, without harm. */
export function dependantProblems(target: TableName, mode: WriteMode, dependants: Dependants): Problem[] {
  const name = displayTable(target)
  const { bound_by, inherited_by } = dependants
  const problems: Problem[] = []
  const add = (code: string, detail: string) => problems.push({ code, pointer: '/output/table_name', detail })
  if (mode === 'overwrite' && bound_by !== null) {
    add(
      'table_referenced',
      `foreign keys of ${bound_by} refer to ${name} with ON DELETE CASCADE, SET NULL, SET DEFAULT or RESTRICT, so its rows cannot be replaced without harm to theirs: use the mode upsert or append, or another table, or make the foreign keys NO ACTION`,
    )
  }
  if ((mode === 'overwrite' || mode === 'upsert') && inherited_by !== null) {
    const harm =
      mode === 'overwrite' ? 'overwriting would delete their rows as well' : 'an upsert would not see their keys'
    add('table_inherited', `${inherited_by} inherit from ${name}, and ${harm}: use the mode append, or another table`)
  }
  return problems
}
