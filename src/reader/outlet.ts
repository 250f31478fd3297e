// Where a read's chunks go: into the lanes of the job's attempt, each lane in order.
import type { Keyset } from '../../connectors/connector.ts'
import type { ColumnBatch } from '../../topics/columns.ts'

/** What a lane has of an attempt. */
export interface SentTotals {
  readonly chunks: number
  readonly rows: number
  readonly bytes: number
}

export const NOTHING_SENT: SentTotals = { chunks: 0, rows: 0, bytes: 0 }

export interface Outlet {
  /** What was in Kafka when the outlet was opened, by lane; lanes that are not named have nothing. */
  readonly before: ReadonlyMap<number, SentTotals>
  /** How the query is to be read for it. */
  readonly keyset?: Keyset
  /** Aborts when a chunk could not be sent, with the error as its reason; nothing is sent after it. */
  readonly failed: AbortSignal
  /** Queues a chunk, under its lane's next seq. */
  push(lane: number, payload: Uint8Array, batch: ColumnBatch): void
  /** Tells the ledger, within a moment, what is in Kafka. */
  report(): void
  /** Ends every lane. When it resolves all is in Kafka, and the ledger says that the read is done. */
  end(): Promise<void>
}
