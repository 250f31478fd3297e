// The end of a table job: one transaction that makes the staged rows visible as a whole and forgets the staging. The row in
// `results` is what makes a repetition harmless.
import type pg from 'pg'
import { ConnectorError, type SinkJob, type SinkResult } from '../connector.ts'
import { displayTable, quoteName, quoteTable, quoteText, type TableName } from './identifiers.ts'
import { attemptCondition, columnList, integer, LEDGER, lockStatement, RESULTS, stagingTable } from './ledger.ts'
import { stagingMissing } from './table-lane.ts'

interface State {
  result: SinkResult | null
  staged: { rows: bigint; bytes: bigint; doneLanes: number; attempts: number[] }
  /** Whether the target's schema and the staging table exist; `relkind` is null when the target does not. */
  target: { schema: boolean; staging: boolean; relkind: string | null }
}

/** The client must not be in a transaction. */
export async function finaliseTable(
  client: pg.ClientBase,
  job: SinkJob,
  target: TableName,
  rows: bigint,
): Promise<SinkResult> {
  const state = await lockAndLook(client, job, target)
  if (state.result) {
    await client.query('ROLLBACK')
    return state.result
  }
  requireComplete(job, state, rows)
  const { relkind } = state.target
  if (relkind !== null && relkind !== 'r' && relkind !== 'p') {
    throw new ConnectorError('not_a_table', `${displayTable(target)} is not an ordinary table`, { retriable: false })
  }
  const result: SinkResult = { rows, bytes: state.staged.bytes, location: displayTable(target) }
  const statements = [
    // First of all, so that a late writer, which locks its ledger row before it touches staging, is waited for and not deadlocked with.
    `DELETE FROM ${LEDGER} WHERE job_id = ${quoteText(job.resultId)}`,
    ...(relkind === null ? becomeTarget(job, target, state.target.schema) : fillTarget(job, target)),
    `INSERT INTO ${RESULTS} (job_id, rows, bytes, location)
 VALUES (${quoteText(job.resultId)}, ${result.rows}, ${result.bytes}, ${quoteText(result.location)})`,
    ...state.staged.attempts.map(
      (attempt) => `DROP TABLE IF EXISTS ${quoteTable(stagingTable(job.resultId, attempt))}`,
    ),
    'COMMIT',
  ]
  await client.query(statements.join(';\n'))
  return result
}

/** Begins the transaction. Finalisers of one job, or of one target, go one after the other. */
async function lockAndLook(client: pg.ClientBase, job: SinkJob, target: TableName): Promise<State> {
  const [schema, table] = [quoteText(target.schema), quoteText(target.table)]
  const statements = [
    'BEGIN',
    lockStatement(`job ${job.resultId}`),
    lockStatement(`target ${quoteTable(target)}`),
    `SELECT rows, bytes, location FROM ${RESULTS} WHERE job_id = ${quoteText(job.resultId)}`,
    `SELECT coalesce(sum(rows), 0)::text AS rows, coalesce(sum(bytes), 0)::text AS bytes, count(*) FILTER (WHERE done)::int AS done_lanes
 FROM ${LEDGER} WHERE ${attemptCondition(job)} AND lane = ANY ('{${job.lanes.map(integer).join(', ')}}')`,
    `SELECT DISTINCT attempt FROM ${LEDGER} WHERE job_id = ${quoteText(job.resultId)}`,
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${schema}) AS schema,
 to_regclass(${quoteText(quoteTable(stagingTable(job.resultId, job.attempt)))}) IS NOT NULL AS staging,
 (SELECT relkind FROM pg_class WHERE relname = ${table}
   AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schema})) AS relkind`,
  ]
  // Several statements in one text give several results; pg's types do not know.
  const results = (await client.query(statements.join(';\n'))) as unknown as pg.QueryResult[]
  const [result, sums, attempts, look] = results.slice(3).map((each) => each.rows)
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

function requireComplete(job: SinkJob, { staged, target }: State, rows: bigint): void {
  if (!target.staging) throw stagingMissing(job)
  if (staged.rows === rows && staged.doneLanes === job.lanes.length) return
  throw new ConnectorError(
    'rows_lost',
    `job ${job.resultId}: expected ${rows} rows in ${job.lanes.length} finished lanes, staged are ${staged.rows} rows in ${staged.doneLanes}`,
    { retriable: false },
  )
}

/** No table of that name: staging is renamed, which takes no time however many rows there are. */
function becomeTarget(job: SinkJob, target: TableName, schemaExists: boolean): string[] {
  const staging = stagingTable(job.resultId, job.attempt)
  const moved = { schema: target.schema, table: staging.table }
  return [
    ...(schemaExists
      ? []
      : [lockStatement(`schema ${target.schema}`), `CREATE SCHEMA IF NOT EXISTS ${quoteName(target.schema)}`]),
    `ALTER TABLE ${quoteTable(staging)} SET SCHEMA ${quoteName(target.schema)}`,
    `ALTER TABLE ${quoteTable(moved)} RENAME TO ${quoteName(target.table)}`,
  ]
}

/**
 * The table stays, with its grants, indexes, constraints and views. DELETE and not TRUNCATE: a truncated table looks empty to
 * snapshots taken before (PostgreSQL, "Caveats" of MVCC), and a reader must see the old rows or the new ones. Other writers wait
 * from the DELETE on, so that nothing slips in between; readers do not wait.
 */
function fillTarget(job: SinkJob, target: TableName): string[] {
  const columns = columnList(job.columns)
  const name = quoteTable(target)
  const clear = [`LOCK TABLE ${name} IN SHARE ROW EXCLUSIVE MODE`, `DELETE FROM ${name}`]
  return [
    ...(job.output.mode === 'overwrite' ? clear : []),
    `INSERT INTO ${name} (${columns}) SELECT ${columns} FROM ${quoteTable(stagingTable(job.resultId, job.attempt))}`,
  ]
}
