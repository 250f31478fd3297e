// Connections by name: one pool for each configured database, made when it is first used, shared by all calls of a source or sink.
import pg from 'pg'
import { ConnectorError, type ConnectorSettings, type Problem } from '../connector.ts'

export interface Connections {
  /** The problem to answer with when the name is not configured, else null. */
  unknown(name: string, pointer: string): Problem | null
  /** Throws `ConnectorError('unknown_connection')`, as `use` and `lend` do. */
  url(name: string): string
  /** Lends a client for the time of `work`; closes it instead of lending it again if `work` throws. */
  use<T>(name: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T>
  /** A client that the caller must give back with `release`. */
  lend(name: string): Promise<pg.PoolClient>
  close(): Promise<void>
}

// Long enough that a service with a job a minute keeps its connections: opening one takes 5 ms without password and TLS.
const IDLE_MS = 300_000

/** Covers opening a connection and waiting for a free one. */
const CONNECT_MS = 15_000

/** Pools of at most `max` connections each. `session` runs once on each new connection, before anything else. */
export function connectionPools(settings: ConnectorSettings, max: number, session?: string): Connections {
  const pools = new Map<string, pg.Pool>()

  function pool(name: string): pg.Pool {
    let found = pools.get(name)
    if (!found) {
      found = openPool(connectionUrl(name), max, session)
      pools.set(name, found)
    }
    return found
  }

  function connectionUrl(name: string): string {
    const url = Object.hasOwn(settings.connections, name) ? settings.connections[name] : undefined
    if (url === undefined) throw new ConnectorError('unknown_connection', unknownConnection(name), { retriable: false })
    return url
  }

  function unknownConnection(name: string): string {
    const known = Object.keys(settings.connections).sort().join(', ') || 'none'
    return `expected one of the configured connections (${known}), got ${JSON.stringify(name)}`
  }

  return {
    unknown(name, pointer) {
      if (Object.hasOwn(settings.connections, name)) return null
      return { code: 'unknown_connection', pointer, detail: unknownConnection(name) }
    },
    url: connectionUrl,
    async use(name, work) {
      const client = await pool(name).connect()
      let failed = true
      try {
        const result = await work(client)
        failed = false
        return result
      } finally {
        client.release(failed)
      }
    },
    lend: (name) => pool(name).connect(),
    async close() {
      await Promise.all([...pools.values()].map((each) => each.end()))
      pools.clear()
    },
  }
}

function openPool(url: string, max: number, session: string | undefined): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    idleTimeoutMillis: IDLE_MS,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    fallback_application_name: 'scoreline',
    // pg-pool awaits what this returns before it lends the client; its types say void.
    ...(session === undefined
      ? {}
      : { onConnect: (client: pg.ClientBase) => client.query(session) as unknown as undefined }),
  })
  // A lost connection also rejects the query that runs on it, and the pool drops the client; without listeners the events
  // would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}
