// The destination `table`: predictions into a Postgres table, exactly once. Lanes copy into a staging table of the attempt, together
// with a ledger of how far they are; finalising makes all rows visible in one transaction.
import type { JobInput, JobOutput } from '../../topics/jobs.ts'
import { ConnectorError, type ConnectorSettings, type Problem, type Sink, type SinkJob } from '../connector.ts'
import { type Connections, connectionPools } from './connections.ts'
import { withConnectorErrors } from './errors.ts'
import { guardQuery } from './guard.ts'
import { parseTableName, quoteTable, quoteText, type TableName } from './identifiers.ts'
import {
  attemptCondition,
  createStaging,
  createStatements,
  LEDGER,
  lockStatement,
  RESULTS,
  stagingTable,
} from './ledger.ts'
import { checkColumns, checkTarget } from './table-check.ts'
import { finaliseTable } from './table-finalise.ts'
import { checkKeys } from './table-keys.ts'
import { openTableLane } from './table-lane.ts'
import { checkSource, databaseIdentity } from './table-source.ts'

/** The connection of a job that names none. */
const DEFAULT_CONNECTION = 'warehouse'

/** Writers take a connection for a transaction and give it back: more of them than the server has cores only queue there. */
const MAX_CONNECTIONS = 8

/**
 * What a role or database may have set otherwise: a commit must be durable before Kafka's offsets are, a finalising transaction takes
 * as long as its rows need, a lock that does not come is an error that the caller can repeat, and who has waited for a lock sees what its
 * holder committed.
 */
const SESSION = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('transaction_timeout', '0', false) WHERE current_setting('transaction_timeout', true) <> '0';
SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'`

/** A sink for the configured connections. */
export function createTableSink(settings: ConnectorSettings): Sink {
  const connections = connectionPools(settings, MAX_CONNECTIONS, SESSION)

  return {
    destinations: ['table'],

    async check(output, columns, input) {
      const connection = connectionOf(output)
      const target = parseTableName(output.table_name)
      const problems = [
        connections.unknown(connection, '/output/connection'),
        'code' in target ? target : null,
        ...checkColumns(columns),
        ...checkKeys(output, columns),
      ].filter((problem) => problem !== null)
      if (problems.length > 0 || 'code' in target) return problems
      return withConnectorErrors('check_failed', async () => {
        const [found, source] = await Promise.all([
          connections.use(connection, (client) => checkTarget(client, target, output, columns)),
          checkOwnSource(connections, connection, target, input),
        ])
        return source ? [...found, source] : found
      })
    },

    async prepare(job) {
      requireTarget(job)
      await withConnectorErrors('prepare_failed', () =>
        connections.use(connectionOf(job.output), async (client) => {
          const staging = quoteText(quoteTable(stagingTable(job.resultId, job.attempt)))
          const { rows } = await client.query<{ ready: boolean; staged: boolean }>(
            `SELECT to_regclass('${LEDGER}') IS NOT NULL AND to_regclass('${RESULTS}') IS NOT NULL AS ready,
 to_regclass(${staging}) IS NOT NULL AS staged`,
          )
          if (rows[0]?.staged) return
          await client.query(rows[0]?.ready ? createStaging(job) : createStatements(job))
        }),
      )
    },

    openLane: (job, lane) => openTableLane(connections, connectionOf(job.output), job, lane),

    async finalise(job, rows, endBy) {
      const target = requireTarget(job)
      return withConnectorErrors('finalise_failed', () =>
        connections.use(connectionOf(job.output), (client) => finaliseTable(client, job, target, rows, endBy)),
      )
    },

    async discard(job) {
      await withConnectorErrors('discard_failed', () =>
        connections.use(connectionOf(job.output), async (client) => {
          const { rows } = await client.query<{ ready: boolean }>(
            `SELECT to_regclass('${LEDGER}') IS NOT NULL AS ready`,
          )
          if (!rows[0]?.ready) return
          // Behind a `prepare` that is still at work for a process that has died: its table would stay for ever.
          // Then the ledger, as in finalising: a writer holds its row there before it touches staging.
          await client.query(
            `${lockStatement(`job ${job.resultId}`)};
DELETE FROM ${LEDGER} WHERE ${attemptCondition(job)};
DROP TABLE IF EXISTS ${quoteTable(stagingTable(job.resultId, job.attempt))}`,
          )
        }),
      )
    },

    // The table is the user's; only what was noted of how the job finished goes.
    async expire(job) {
      await withConnectorErrors('expire_failed', () =>
        connections.use(connectionOf(job.output), async (client) => {
          const { rows } = await client.query<{ ready: boolean }>(
            `SELECT to_regclass('${RESULTS}') IS NOT NULL AS ready`,
          )
          if (rows[0]?.ready) await client.query(`DELETE FROM ${RESULTS} WHERE job_id = ${quoteText(job.resultId)}`)
        }),
      )
    },

    close: () => connections.close(),
  }
}

function connectionOf(output: JobOutput): string {
  return output.connection ?? DEFAULT_CONNECTION
}

/** The query's connection and the output's may be two, with other roles and addresses, and still lead to one database. */
async function checkOwnSource(
  connections: Connections,
  connection: string,
  target: TableName,
  input: JobInput,
): Promise<Problem | null> {
  const guarded = await guardQuery(input.query)
  const unusable = connections.unknown(input.connection, '/input/connection') !== null
  if (unusable || !('select' in guarded) || guarded.select.tables.length === 0) return null
  if (connections.url(input.connection) !== connections.url(connection)) {
    const output = await connections.use(connection, databaseIdentity)
    if (output === null || output !== (await connections.use(input.connection, databaseIdentity))) return null
  }
  return connections.use(input.connection, (client) => checkSource(client, guarded.select, target))
}

/** A job's snapshot comes through Kafka: what `check` refuses, nothing that has side effects may accept. */
function requireTarget(job: SinkJob): TableName {
  const target = parseTableName(job.output.table_name)
  const problem = 'code' in target ? target : checkKeys(job.output, job.columns)[0]
  if ('code' in target || problem) {
    throw new ConnectorError(problem?.code ?? 'table_name_invalid', problem?.detail ?? '', { retriable: false })
  }
  return target
}
