// One lane of a table job. Every write is one transaction that moves the lane's row in the ledger and copies the chunks into staging:
// both or neither, so a replay begins exactly where the rows end.
import type pg from 'pg'
import {
  ConnectorError,
  LANE_START,
  type LanePosition,
  type LaneWriter,
  type ScoredChunk,
  type SinkJob,
} from '../connector.ts'
import type { Connections } from './connections.ts'
import { encodeRows } from './copy-encoder.ts'
import { copyIn } from './copy-in.ts'
import { connectorError, withConnectorErrors } from './errors.ts'
import { quoteTable, quoteText } from './identifiers.ts'
import { attemptCondition, columnList, integer, LEDGER, stagingTable } from './ledger.ts'

interface LedgerRow {
  chunks: string
  rows: string
  failed_rows: string
  bytes: string
  done: boolean
}

/** Opens the lane where the ledger says it is; throws `ConnectorError('staging_missing')` if the attempt has no staging table. */
export async function openTableLane(
  connections: Connections,
  connection: string,
  job: SinkJob,
  lane: number,
): Promise<LaneWriter> {
  const position = await withConnectorErrors('write_failed', () =>
    connections.use(connection, (client) => ledgerPosition(client, job, lane)),
  )
  return new TableLane(connections, connection, job, lane, position)
}

async function ledgerPosition(client: pg.ClientBase, job: SinkJob, lane: number): Promise<LanePosition> {
  const key = `${quoteText(job.resultId)}, ${integer(job.attempt)}, ${integer(lane)}`
  const fields = 'chunks, rows, failed_rows, bytes, done'
  // A row that another opener inserts at this moment is in neither half; then the second look finds it.
  const text = `WITH opened AS (
  INSERT INTO ${LEDGER} (job_id, attempt, lane, ${fields}) SELECT ${key}, 0, 0, 0, 0, false
  WHERE to_regclass(${quoteText(quoteTable(stagingTable(job.resultId, job.attempt)))}) IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING ${fields}
) SELECT ${fields} FROM opened UNION ALL SELECT ${fields} FROM ${LEDGER} WHERE (job_id, attempt, lane) = (${key})`
  for (let look = 0; look < 2; look++) {
    const { rows } = await client.query<LedgerRow>(text).catch(asMissing(job))
    const [row] = rows
    if (row) return toPosition(row)
  }
  throw stagingMissing(job)
}

function toPosition(row: LedgerRow): LanePosition {
  return {
    chunks: Number(row.chunks),
    rows: BigInt(row.rows),
    failedRows: BigInt(row.failed_rows),
    bytes: BigInt(row.bytes),
    done: row.done,
  }
}

class TableLane implements LaneWriter {
  readonly #connections: Connections
  readonly #connection: string
  readonly #job: SinkJob
  readonly #lane: number
  readonly #copy: string
  #position: LanePosition

  constructor(connections: Connections, connection: string, job: SinkJob, lane: number, position: LanePosition) {
    this.#connections = connections
    this.#connection = connection
    this.#job = job
    this.#lane = lane
    this.#copy = `COPY ${quoteTable(stagingTable(job.resultId, job.attempt))} (${columnList(job.columns)}) FROM STDIN (FORMAT binary)`
    this.#position = position
  }

  get position(): LanePosition {
    return this.#position
  }

  /** With the last chunks the lane is done, in the same transaction: for a small job that is one of two. */
  async write(chunks: readonly ScoredChunk[], last = false): Promise<LanePosition> {
    if (chunks.length === 0) return this.#position
    if (this.#position.done) throw this.#gap('its end', `chunk ${chunks[0]?.seq}`)
    this.#requireOrder(chunks)
    const messages = chunks.filter((chunk) => chunk.batch.rows > 0).map((chunk) => this.#encode(chunk))
    const next = { ...advance(this.#position, chunks, messages), done: last }
    const move = this.#moveStatement(next)
    await this.#transaction(async (client) => {
      if (messages.length > 0) await copyIn(client, `${move};\n${this.#copy}`, messages)
      else await client.query(move)
    })
    this.#position = next
    return next
  }

  async end(): Promise<LanePosition> {
    const next = { ...this.#position, done: true }
    await this.#transaction((client) => client.query(this.#moveStatement(next)))
    this.#position = next
    return next
  }

  async close(): Promise<void> {}

  #requireOrder(chunks: readonly ScoredChunk[]): void {
    chunks.forEach((chunk, i) => {
      const expected = this.#position.chunks + i
      if (chunk.seq !== expected) throw this.#gap(`chunk ${expected}`, `chunk ${chunk.seq}`)
    })
  }

  #gap(expected: string, got: string): ConnectorError {
    const message = `lane ${this.#lane} of job ${this.#job.resultId}: expected ${expected}, got ${got}`
    return new ConnectorError('chunk_gap', message, { retriable: false })
  }

  #encode(chunk: ScoredChunk): Buffer {
    try {
      return encodeRows(chunk.batch)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new ConnectorError('write_failed', `chunk ${chunk.seq}: ${error.message}`, {
        retriable: false,
        cause: error,
      })
    }
  }

  /**
   * Moves the ledger from where this writer believes it to be, or fails by a division by zero: the data of the COPY is already on
   * its way, so the condition has to be the server's.
   */
  #moveStatement(next: LanePosition): string {
    const { chunks, done } = this.#position
    return `WITH moved AS (UPDATE ${LEDGER} SET chunks = ${integer(next.chunks)}, rows = ${next.rows},
 failed_rows = ${next.failedRows}, bytes = ${next.bytes}, done = ${next.done}
 WHERE ${attemptCondition(this.#job)} AND lane = ${integer(this.#lane)} AND chunks = ${integer(chunks)} AND done <= ${done} RETURNING 1)
SELECT 1 / count(*) FROM moved`
  }

  async #transaction(work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
    try {
      await this.#connections.use(this.#connection, (client) => work(client).catch(asMissing(this.#job)))
    } catch (error) {
      if (stateOf(error) !== '22012') throw connectorError(error, 'write_failed')
      const { chunks } = this.#position
      const message = `lane ${this.#lane} of job ${this.#job.resultId} is no longer at chunk ${chunks}: another sink has written it, or the attempt is gone`
      throw new ConnectorError('lane_taken', message, { retriable: true, cause: error })
    }
  }
}

function advance(from: LanePosition, chunks: readonly ScoredChunk[], messages: readonly Buffer[]): LanePosition {
  let { rows, failedRows, bytes } = from
  for (const chunk of chunks) {
    rows += BigInt(chunk.batch.rows)
    failedRows += BigInt(chunk.failed.length)
  }
  for (const message of messages) bytes += BigInt(message.length)
  return { ...LANE_START, chunks: from.chunks + chunks.length, rows, failedRows, bytes }
}

/** Undefined table or schema: `prepare` has not run, or the attempt has been discarded. */
function asMissing(job: SinkJob): (error: unknown) => never {
  return (error) => {
    throw /^(42P01|3F000)$/.test(stateOf(error)) ? stagingMissing(job, error) : error
  }
}

export function stagingMissing(job: SinkJob, cause?: unknown): ConnectorError {
  const message = `attempt ${job.attempt} of job ${job.resultId} has no staging table: it was never prepared, or has been discarded`
  return new ConnectorError('staging_missing', message, { retriable: false, cause })
}

function stateOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
