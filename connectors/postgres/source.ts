// The source of jobs: a query's rows from Postgres, as batches of columns. The API and the controller describe and count, readers read.
import type pg from 'pg'
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobInput } from '../../topics/jobs.ts'
import { ConnectorError, type ConnectorSettings, type ReadOptions, type RowCount, type Source } from '../connector.ts'
import { type Connections, connectionPools } from './connections.ts'
import { CopyOut } from './copy-out.ts'
import { describeQuery, requireColumns } from './describe.ts'
import { connectorError, withConnectorErrors } from './errors.ts'
import { guardQuery, type PlainSelect } from './guard.ts'
import { KeyWatch, keyProblem, keysetQuery, requireKeyAt } from './keyset.ts'
import { queryForKeys, queryOfRows } from './rows-query.ts'
import { openSession } from './session.ts'

/** Every read holds a connection for as long as it lasts; descriptions and counts come in between. */
const MAX_CONNECTIONS = 16

/** Planning takes milliseconds; longer means a lock, or thousands of partitions. */
const DESCRIBE_TIMEOUT_MS = 10_000

const LOCK_TIMEOUT_MS = 10_000

/**
 * A source for the configured connections. The role in a connection's URL should be able to read and nothing else: it is the
 * boundary for what a query can do. Besides, every query is guarded and runs in a read-only transaction.
 */
export function createPostgresSource(settings: ConnectorSettings): Source {
  const connections = connectionPools(settings, MAX_CONNECTIONS)
  return {
    async describe(input) {
      const unknown = connections.unknown(input.connection, '/input/connection')
      const guarded = await guardQuery(input.query)
      const problems = [...(unknown ? [unknown] : []), ...('problem' in guarded ? [guarded.problem] : [])]
      if (problems.length > 0 || 'problem' in guarded) return { problems }
      return withConnectorErrors('query_failed', () =>
        readOnly(connections, input, DESCRIBE_TIMEOUT_MS, (client) => describeInput(client, input, guarded.select)),
      )
    },
    async count(input, limitMs) {
      const select = await requireSelect(input)
      return withConnectorErrors('query_failed', () => countRows(connections, input, select, limitMs))
    },
    read: (input, options) => readRows(connections, input, options),
    forKeys: async (input, column, keys) => ({ ...input, query: await queryForKeys(input.query, column, keys) }),
    ofRows: (input, columns, rows) => ({ ...input, query: queryOfRows(columns, rows) }),
    close: () => connections.close(),
  }
}

async function describeInput(
  client: pg.ClientBase,
  input: JobInput,
  select: PlainSelect,
): ReturnType<Source['describe']> {
  const described = await describeQuery(client, input.query, select)
  const key = input.key_column
  if (!('columns' in described) || key === null) return described
  if (described.columns.some((column) => column.name === key)) {
    const problem = await keyProblem(client, select, key)
    return problem ? { problems: [problem] } : described
  }
  const names = described.columns.map((column) => column.name).join(', ')
  const detail = `expected one of the query's columns (${names}), got ${JSON.stringify(key)}`
  return { problems: [{ code: 'column_not_found', pointer: '/input/key_column', detail }] }
}

async function countRows(
  connections: Connections,
  input: JobInput,
  select: PlainSelect,
  limitMs: number,
): Promise<RowCount> {
  try {
    return await readOnly(connections, input, limitMs, async (client) => {
      const text = `SELECT count(*)::text AS rows FROM (${select.text}\n) AS query`
      const { rows } = await client.query<{ rows: string }>(oneStatement(text))
      return { rows: BigInt(rows[0]?.rows ?? 0), estimated: false }
    })
  } catch (error) {
    if (!isTimeout(error)) throw error
  }
  return readOnly(connections, input, DESCRIBE_TIMEOUT_MS, async (client) => {
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }>(
      oneStatement(`EXPLAIN (FORMAT JSON) ${select.text}`),
    )
    return { rows: BigInt(Math.round(rows[0]?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0)), estimated: true }
  })
}

async function* readRows(connections: Connections, input: JobInput, options: ReadOptions): AsyncGenerator<ColumnBatch> {
  const { columns, chunkRows, signal, keyset } = options
  const watch = keyset && new KeyWatch(columns, keyset.column)
  const select = await requireSelect(input)
  signal.throwIfAborted()
  const session = await withConnectorErrors('query_failed', () =>
    openSession(connections, input.connection, beginReadOnly(0)),
  )
  const { client } = session
  const onAbort = () => void session.abort()
  let copying = false
  let complete = false
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    await requireColumns(client, select, columns)
    if (keyset) await requireKeyAt(client, select, keyset)
    // Exactly one parsed SELECT; the newline ends a comment that would swallow the parenthesis.
    const query = keyset ? keysetQuery(select, keyset) : select.text
    const copy = client.query(new CopyOut(`COPY (${query}\n) TO STDOUT (FORMAT binary)`, columns, chunkRows))
    copying = true
    for (;;) {
      const batch = await copy.next()
      signal.throwIfAborted()
      if (batch === null) break
      watch?.check(batch)
      yield batch
    }
    copying = false
    complete = true
  } catch (error) {
    signal.throwIfAborted()
    copying = false
    throw readError(error)
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Still copying: an abort, or a consumer that stopped in the middle.
    if (copying || signal.aborted) await session.abort()
    // Every row is here: whoever reads them need not wait until the transaction, which changed nothing, is over.
    else if (complete)
      client.query('COMMIT').then(
        () => session.release(false),
        () => session.release(true),
      )
    else session.release(true)
  }
}

function readError(error: unknown): unknown {
  if (error instanceof RangeError)
    return new ConnectorError('query_failed', error.message, { retriable: false, cause: error })
  return connectorError(error, 'query_failed')
}

/** Runs `work` in a read-only transaction that is rolled back, which its result does not wait for. */
async function readOnly<T>(
  connections: Connections,
  input: JobInput,
  timeoutMs: number,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connections.lend(input.connection)
  let result: T
  try {
    await client.query(beginReadOnly(Math.max(1, Math.round(timeoutMs))))
    result = await work(client)
  } catch (error) {
    client.release(true)
    throw error
  }
  client.query('ROLLBACK').then(
    () => client.release(),
    () => client.release(true),
  )
  return result
}

/**
 * One snapshot for all statements. The settings undo what a role or database may have set: a read lasts as long as its consumers
 * need, and the guard's parser takes backslashes in strings literally. transaction_timeout exists from PostgreSQL 17 on.
 */
function beginReadOnly(statementTimeoutMs: number): string {
  return `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = ${statementTimeoutMs}; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS};
SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL standard_conforming_strings = on;
SELECT set_config('transaction_timeout', '0', true) WHERE current_setting('transaction_timeout', true) <> '0';
SELECT pg_backend_pid() AS pid`
}

/** The extended protocol refuses a text of several statements, which the simple one would run. */
function oneStatement(text: string): pg.QueryConfig {
  return { text, queryMode: 'extended' } as pg.QueryConfig
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57014'
}

async function requireSelect(input: JobInput): Promise<PlainSelect> {
  const guarded = await guardQuery(input.query)
  if ('select' in guarded) return guarded.select
  throw new ConnectorError(guarded.problem.code, guarded.problem.detail, { retriable: false })
}
