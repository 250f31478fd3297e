// The sink's own tables in each target database: the ledger (how far each lane of an attempt is), the results of finished jobs, and
// the staging table of each attempt. Here are their names and definitions, as SQL; nothing is run.
import { createHash } from 'node:crypto'
import type { Column } from '../../topics/columns.ts'
import type { SinkJob } from '../connector.ts'
import { MAX_NAME_BYTES, OWN_SCHEMA, quoteName, quoteTable, quoteText } from './identifiers.ts'
import { sqlTypeOf } from './types.ts'

export const LEDGER = quoteTable({ schema: OWN_SCHEMA, table: 'ledger' })
export const RESULTS = quoteTable({ schema: OWN_SCHEMA, table: 'results' })

/** The staging table of an attempt. */
export function stagingTable(jobId: string, attempt: number): { schema: string; table: string } {
  const name = `stage_${jobId}_${integer(attempt)}`
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return { schema: OWN_SCHEMA, table: name }
  // Postgres would cut the name and two jobs might share a table.
  const digest = createHash('sha256').update(jobId).digest('hex').slice(0, 40)
  return { schema: OWN_SCHEMA, table: `stage_${digest}_${attempt}` }
}

/** The column names, quoted, in order. */
export function columnList(columns: readonly Column[]): string {
  return columns.map((column) => quoteName(column.name)).join(', ')
}

/**
 * Creates what is missing. Sinks of several jobs do it at once, and CREATE … IF NOT EXISTS alone fails when two of them race:
 * hence the lock, until the end of the transaction.
 */
export function createStatements(job: SinkJob): string {
  return `${lockStatement('setup')};
CREATE SCHEMA IF NOT EXISTS ${quoteName(OWN_SCHEMA)};
CREATE TABLE IF NOT EXISTS ${LEDGER} (
  job_id text, attempt integer, lane integer,
  chunks bigint NOT NULL, rows bigint NOT NULL, failed_rows bigint NOT NULL, bytes bigint NOT NULL, done boolean NOT NULL,
  PRIMARY KEY (job_id, attempt, lane)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS ${RESULTS} (
  job_id text PRIMARY KEY, rows bigint NOT NULL, bytes bigint NOT NULL, location text NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT now()
);
${createStaging(job)}`
}

/**
 * Logged, for `overwrite` and `append` may turn it into the target, and a crash of the server must not empty it
 * after a commit.
 */
export function createStaging(job: SinkJob): string {
  const columns = job.columns.map((column) => `${quoteName(column.name)} ${sqlTypeOf(column)}`).join(', ')
  return `${lockStatement(`job ${job.resultId}`)};
CREATE TABLE IF NOT EXISTS ${quoteTable(stagingTable(job.resultId, job.attempt))} (${columns})`
}

/** Waits for the lock of that name, which the transaction holds until its end. */
export function lockStatement(name: string): string {
  return `SELECT pg_advisory_xact_lock(hashtextextended(${quoteText(`scoreline ${name}`)}, 0))`
}

/** Condition for an attempt's rows in the ledger. */
export function attemptCondition(job: SinkJob): string {
  return `job_id = ${quoteText(job.resultId)} AND attempt = ${integer(job.attempt)}`
}

/** A number as SQL. */
export function integer(value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new TypeError(`expected a whole number, got ${value}`)
  return String(value)
}
