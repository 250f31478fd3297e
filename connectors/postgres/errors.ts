// What Postgres and its connections throw, turned into the connectors' errors: retriable or not, with the server's own words.
import pg from 'pg'
import { ConnectorError } from '../connector.ts'

/** SQLSTATEs (or classes of two characters) after which the same call may succeed, and the code they get here. */
const RETRIABLE: Readonly<Record<string, string>> = {
  '08': 'database_unavailable',
  '57P01': 'database_unavailable',
  '57P02': 'database_unavailable',
  '57P03': 'database_unavailable',
  '57P05': 'database_unavailable',
  '25P03': 'database_unavailable',
  '25P04': 'database_unavailable',
  // Disk full, out of memory, too many connections: somebody makes room, or other sessions end.
  '53': 'database_exhausted',
  '58': 'database_exhausted',
  '40001': 'database_busy',
  '40P01': 'database_busy',
  '55P03': 'database_busy',
  '55006': 'database_busy',
  // A table or schema that somebody else created a moment ago: a second look finds it.
  '42P06': 'database_busy',
  '42P07': 'database_busy',
}

/** Wrong password, role or database: the server is there, and asking again will not help. */
const REFUSED = /^(28|3D000$)/

/** The error as `ConnectorError`; `code` is what a fault of the statement or its data is called here. */
export function connectorError(error: unknown, code: string): unknown {
  if (error instanceof ConnectorError) return error
  if (error instanceof pg.DatabaseError) {
    const state = error.code ?? ''
    const retriable = isCatalogRace(error) ? 'database_busy' : (RETRIABLE[state] ?? RETRIABLE[state.slice(0, 2)])
    if (retriable) return new ConnectorError(retriable, serverMessage(error), { retriable: true, cause: error })
    const own = REFUSED.test(state) ? 'database_refused' : state === '42501' ? 'permission_denied' : code
    return new ConnectorError(own, serverMessage(error), { retriable: false, cause: error })
  }
  if (isConnectionLoss(error)) {
    const message = `the database cannot be reached: ${lossMessage(error)}`
    return new ConnectorError('database_unavailable', message, { retriable: true, cause: error })
  }
  return error
}

/** A name that another transaction took while this one waited for it: the catalog's own index complains, not the command. */
export function isCatalogRace(error: pg.DatabaseError): boolean {
  return error.code === '23505' && error.schema === 'pg_catalog'
}

/** Runs `work`; what it throws comes out as `ConnectorError` (programming errors stay what they are). */
export async function withConnectorErrors<T>(code: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw connectorError(error, code)
  }
}

/** The server's message with its detail and hint, in one line. */
export function serverMessage(error: pg.DatabaseError): string {
  const parts = [error.message, error.detail, error.hint && `Hint: ${error.hint}`]
  return parts.flatMap((part) => (part ? [part.replace(/\.$/, '')] : [])).join('. ')
}

// pg has no class for these: it throws the socket's error, or an Error with one of its own texts.
const LOSS = /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout e)/
const LOSS_CODES =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|EADDR|ERR_SOCKET|ERR_STREAM|ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_|UNABLE_)/

function isConnectionLoss(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return LOSS_CODES.test(code) || LOSS.test(error.message) || /SSL connection/.test(error.message)
}

/** An AggregateError (several addresses tried) has no message of its own. */
function lossMessage(error: Error): string {
  if (error.message || !(error instanceof AggregateError)) return error.message
  return error.errors.map((each: unknown) => (each instanceof Error ? each.message : String(each))).join('; ')
}
