// The end of a table job: one transaction that makes the staged rows visible as a whole and forgets the staging. The row in
// `results` is what makes a repetition harmless.
import pg from 'pg'
import type { WriteMode } from '../../topics/jobs.ts'
import { ConnectorError, type SinkJob, type SinkResult } from '../connector.ts'
import { isCatalogRace, serverMessage } from './errors.ts'
import { displayTable, quoteName, quoteTable, quoteText, type TableName } from './identifiers.ts'
import { attemptCondition, columnList, integer, LEDGER, lockStatement, RESULTS, stagingTable } from './ledger.ts'
import { isTable, notATable, tableExists } from './table-check.ts'
import { type Dependants, dependantProblems, dependantsQuery } from './table-dependants.ts'
import { keyList, notUnique, requireSoundKeys, unchanged } from './table-keys.ts'
import { stagingMissing } from './table-lane.ts'

/** A deadline that is here does not mean that nothing may be tried at all. */
const MIN_STATEMENT_MS = 1_000

/** Of the transaction; without a deadline it is not set. */
const END_SETTING = 'scoreline.end_by'

/** A longer statement is cancelled, also one that waits for a lock. 0 would be no limit. */
const TIME_LEFT = `SELECT set_config('statement_timeout', greatest(1, ceil(1000 * extract(epoch FROM
 nullif(current_setting('${END_SETTING}', true), '')::timestamptz - clock_timestamp())))::bigint::text, true) AS time_left
 WHERE nullif(current_setting('${END_SETTING}', true), '') IS NOT NULL`

interface State {
  result: SinkResult | null
  staged: { rows: bigint; bytes: bigint; doneLanes: number; attempts: number[] }
  /** Whether the target's schema and the staging table exist; `relkind` is null when the target does not. `grants` are for a new one. */
  target: { schema: boolean; staging: boolean; relkind: string | null; grants: string[] | null }
}

/** The client must not be in a transaction. */
export async function finaliseTable(
  client: pg.ClientBase,
  job: SinkJob,
  target: TableName,
  rows: bigint,
  endBy?: number,
): Promise<SinkResult> {
  const state = await lockAndLook(client, job, target, endBy)
  if (state.result) {
    await client.query('ROLLBACK')
    return state.result
  }
  requireComplete(job, state, rows)
  if (job.output.mode === 'upsert') {
    await client.query(TIME_LEFT)
    await requireSoundKeys(client, job, target)
  }
  const arrive = await arrival(client, job, target, state)
  const result: SinkResult = { rows, bytes: state.staged.bytes, location: displayTable(target) }
  const statements = [
    // First of all, so that a late writer, which locks its ledger row before it touches staging, is waited for and not deadlocked with.
    `DELETE FROM ${LEDGER} WHERE job_id = ${quoteText(job.resultId)}`,
    ...arrive,
    `INSERT INTO ${RESULTS} (job_id, rows, bytes, location)
 VALUES (${quoteText(job.resultId)}, ${result.rows}, ${result.bytes}, ${quoteText(result.location)})`,
    ...state.staged.attempts.map(
      (attempt) => `DROP TABLE IF EXISTS ${quoteTable(stagingTable(job.resultId, attempt))}`,
    ),
    'COMMIT',
  ]
  await client.query(inTime(statements)).catch((error: unknown) => {
    throw refusal(error, job, target)
  })
  return result
}

/** The statements that make the staged rows the target's. */
async function arrival(
  client: pg.ClientBase,
  job: SinkJob,
  target: TableName,
  { target: look }: State,
): Promise<string[]> {
  if (look.relkind === null) return [...becomeTarget(job, target, look.schema), ...(look.grants ?? [])]
  const { mode } = job.output
  requireTable(mode, target, look.relkind)
  const { referenced } = await requireUnharmed(client, mode, target)
  return fillTarget(job, target, referenced)
}

/** Throws what `check` would say, if it has come about since. */
function requireTable(mode: WriteMode, target: TableName, relkind: string): void {
  const fail = (code: string, message: string) => new ConnectorError(code, message, { retriable: false })
  if (mode === 'error') throw fail('table_exists', tableExists(target))
  if (!isTable(relkind)) throw fail('not_a_table', notATable(target))
}

/**
 * Also tells whether foreign keys refer to the target. Before an overwrite looks, it takes the lock under which none can be added: other
 * writers wait from then on, so that nothing slips in; readers do not wait.
 */
async function requireUnharmed(
  client: pg.ClientBase,
  mode: WriteMode,
  target: TableName,
): Promise<{ referenced: boolean }> {
  if (mode === 'append') return { referenced: false }
  const lock = mode === 'overwrite' ? [`LOCK TABLE ${quoteTable(target)} IN SHARE ROW EXCLUSIVE MODE`] : []
  const results = [await client.query<Dependants>(inTime([...lock, dependantsQuery(target)]))].flat()
  const dependants = results.at(-1)?.rows[0] as Dependants
  const [problem] = dependantProblems(target, mode, dependants)
  if (problem) throw new ConnectorError(problem.code, problem.detail, { retriable: false })
  return { referenced: dependants.referenced_by !== null }
}

/** Begins the transaction. Finalisers of one job, or of one target, go one after the other. */
async function lockAndLook(
  client: pg.ClientBase,
  job: SinkJob,
  target: TableName,
  endBy: number | undefined,
): Promise<State> {
  const [schema, table] = [quoteText(target.schema), quoteText(target.table)]
  const statements = [
    lockStatement(`job ${job.resultId}`),
    lockStatement(`target ${quoteTable(target)}`),
    `SELECT rows, bytes, location FROM ${RESULTS} WHERE job_id = ${quoteText(job.resultId)}`,
    `SELECT coalesce(sum(rows), 0)::text AS rows, coalesce(sum(bytes), 0)::text AS bytes, count(*) FILTER (WHERE done)::int AS done_lanes
 FROM ${LEDGER} WHERE ${attemptCondition(job)} AND lane = ANY ('{${job.lanes.map(integer).join(', ')}}')`,
    `SELECT DISTINCT attempt FROM ${LEDGER} WHERE job_id = ${quoteText(job.resultId)}`,
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${schema}) AS schema,
 to_regclass(${quoteText(quoteTable(stagingTable(job.resultId, job.attempt)))}) IS NOT NULL AS staging,
 (SELECT relkind FROM pg_class WHERE relname = ${table}
   AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schema})) AS relkind, (${defaultGrants(target)}) AS grants`,
  ]
  // Several statements in one text give several results; pg's types do not know.
  const text = ['BEGIN', giveUpBy(endBy), inTime(statements)].join(';\n')
  const results = (await client.query(text)) as unknown as pg.QueryResult[]
  const answers = results.filter(({ fields }) => fields[0]?.name !== 'time_left')
  const [result, sums, attempts, look] = answers.slice(-4).map((each) => each.rows)
  const done = result?.[0]
  const sum = sums?.[0]
  return {
    result: done ? { rows: BigInt(done.rows), bytes: BigInt(done.bytes), location: done.location } : null,
    staged: {
      rows: BigInt(sum.rows),
      bytes: BigInt(sum.bytes),
      doneLanes: sum.done_lanes,
      attempts: (attempts ?? []).map((row) => row.attempt as number),
    },
    target: look?.[0],
  }
}

/** Notes when the transaction must be over, by the server's clock: at the deadline the server itself ends it. */
function giveUpBy(endBy: number | undefined): string {
  if (endBy === undefined) return 'SELECT'
  const ms = Math.max(MIN_STATEMENT_MS, Math.ceil(endBy - Date.now()))
  return `SELECT set_config('${END_SETTING}', (clock_timestamp() + interval '${ms} milliseconds')::text, true),
 set_config('lock_timeout', least(${ms}, 60000)::text, true)`
}

/** The statements, each with the time that is left when it begins: `statement_timeout` is of one statement, not of all. */
function inTime(statements: readonly string[]): string {
  return statements.flatMap((statement) => [TIME_LEFT, statement]).join(';\n')
}

/** The default privileges of the target's schema, as GRANTs: a staging table was made in another schema, and has not got them. */
function defaultGrants(target: TableName): string {
  return `SELECT array_agg(format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, ${quoteText(quoteTable(target))},
  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END))
 FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace JOIN pg_roles r ON r.oid = d.defaclrole, aclexplode(d.defaclacl) AS a
 WHERE d.defaclobjtype = 'r' AND n.nspname = ${quoteText(target.schema)} AND r.rolname = current_user`
}

function requireComplete(job: SinkJob, { staged, target }: State, rows: bigint): void {
  if (!target.staging) throw stagingMissing(job)
  if (staged.rows === rows && staged.doneLanes === job.lanes.length) return
  throw new ConnectorError(
    'rows_lost',
    `job ${job.resultId}: expected ${rows} rows in ${job.lanes.length} finished lanes, staged are ${staged.rows} rows in ${staged.doneLanes}`,
    { retriable: false },
  )
}

/** No table of that name: staging is renamed, which takes no time however many rows there are; a key takes that of its index. */
function becomeTarget(job: SinkJob, target: TableName, schemaExists: boolean): string[] {
  const staging = stagingTable(job.resultId, job.attempt)
  const moved = { schema: target.schema, table: staging.table }
  const { mode, key_columns } = job.output
  return [
    ...(schemaExists
      ? []
      : [lockStatement(`schema ${target.schema}`), `CREATE SCHEMA IF NOT EXISTS ${quoteName(target.schema)}`]),
    `ALTER TABLE ${quoteTable(staging)} SET SCHEMA ${quoteName(target.schema)}`,
    `ALTER TABLE ${quoteTable(moved)} RENAME TO ${quoteName(target.table)}`,
    // Last, so that the index is named after the table.
    ...(mode === 'upsert' ? [`ALTER TABLE ${quoteTable(target)} ADD PRIMARY KEY (${keyList(key_columns ?? [])})`] : []),
  ]
}

/**
 * The table stays, with its grants, indexes, constraints and views, and its triggers fire. DELETE and not TRUNCATE: a truncated table
 * looks empty to snapshots taken before (PostgreSQL, "Caveats" of MVCC), and a reader must see the old rows or the new ones.
 */
function fillTarget(job: SinkJob, target: TableName, referenced: boolean): string[] {
  const name = quoteTable(target)
  const columns = columnList(job.columns)
  const rows = `(${columns}) SELECT ${columns} FROM ${quoteTable(stagingTable(job.resultId, job.attempt))}`
  if (job.output.mode === 'append') return [`INSERT INTO ${name} ${rows}`]
  if (job.output.mode === 'upsert') return [`INSERT INTO ${name} AS target ${rows} ON CONFLICT ${onConflict(job)}`]
  if (!referenced) return [`DELETE FROM ${name}`, `INSERT INTO ${name} ${rows}`]
  // Foreign keys are looked at when a statement ends: in one statement the new row takes the old one's place in time. The count has the
  // DELETE run to its end before the first row comes out. Two statements are the faster way where nothing refers to the table.
  const emptied = `WITH gone AS (DELETE FROM ${name} RETURNING 1), emptied AS (SELECT count(*) FROM gone)`
  return [`${emptied} INSERT INTO ${name} ${rows}, emptied`]
}

function onConflict({ columns, output }: SinkJob): string {
  const keys = output.key_columns ?? []
  const others = columns.filter((column) => !keys.includes(column.name)).map((column) => quoteName(column.name))
  const set = others.map((name) => `${name} = EXCLUDED.${name}`).join(', ')
  return `(${keyList(keys)}) DO ${set ? `UPDATE SET ${set}` : 'NOTHING'}`
}

/** What the target itself refuses, by SQLSTATE. Source: PostgreSQL, appendix A. */
const REFUSALS: Readonly<Record<string, string>> = {
  '23505': 'duplicate_key',
  '21000': 'duplicate_key',
  '23503': 'foreign_key_violated',
  '23': 'constraint_violated',
  '22': 'value_not_accepted',
  '42P10': 'key_not_unique',
}

function refusal(error: unknown, { output }: SinkJob, target: TableName): unknown {
  if (!(error instanceof pg.DatabaseError) || isCatalogRace(error)) return error
  const state = error.code ?? ''
  const code = REFUSALS[state] ?? REFUSALS[state.slice(0, 2)]
  if (code === undefined) return error
  const reason = code === 'key_not_unique' ? notUnique(target, output.key_columns ?? []) : serverMessage(error)
  const message = `${displayTable(target)} does not take the result: ${reason}. ${unchanged(target)}`
  return new ConnectorError(code, message, { retriable: false, cause: error })
}
