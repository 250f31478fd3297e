// A connection held for one read: it knows its server process, so that a read can be ended while the server computes or sends.
import pg from 'pg'
import type { Connections } from './connections.ts'

/** How long an aborted read waits for the server to take note before the connection is cut anyway. */
const CANCEL_TIMEOUT_MS = 2_000

export interface ReadSession {
  readonly client: pg.PoolClient
  /** Gives the connection back; `failed` closes it. */
  release(failed: boolean): void
  /** Ends what the server is doing for this session and closes the connection. May be called more than once. */
  abort(): Promise<void>
}

/** Lends a connection and runs `begin` on it, whose last statement must give the column `pid`. */
export async function openSession(connections: Connections, name: string, begin: string): Promise<ReadSession> {
  const client = await connections.lend(name)
  let pid: number
  try {
    pid = await beginWithPid(client, begin)
  } catch (error) {
    client.release(true)
    throw error
  }
  let released = false
  let aborted: Promise<void> | null = null
  const release = (failed: boolean) => {
    if (!released) client.release(failed)
    released = true
  }
  return {
    client,
    release,
    abort() {
      // Both are needed: a backend that computes does not look at its socket, and one that waits to send takes no cancellation.
      aborted ??= cancelBackend(connections.url(name), pid).finally(() => release(true))
      return aborted
    },
  }
}

async function beginWithPid(client: pg.PoolClient, begin: string): Promise<number> {
  // Several statements in one text give several results; pg's types do not know.
  const results = (await client.query(begin)) as unknown as pg.QueryResult<{ pid: number }>[]
  return results.at(-1)?.rows[0]?.pid ?? 0
}

/** By a connection of its own: the pool may have none free just then. Never rejects. */
async function cancelBackend(url: string, pid: number): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CANCEL_TIMEOUT_MS,
    query_timeout: CANCEL_TIMEOUT_MS,
    fallback_application_name: 'scoreline cancel',
  })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT pg_cancel_backend($1)', [pid])
  } catch {
    // The server is away, so the query is too; or it is slow, and closing the connection has to do.
  } finally {
    await client.end().catch(() => {})
  }
}
