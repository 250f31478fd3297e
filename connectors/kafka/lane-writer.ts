// One lane of one attempt. A write is one transaction: the rows of all its chunks, one record each, and the lane's new
// position. So rows become visible to consumers that read committed exactly when the position moves.
import {
  ConnectorError,
  LANE_START,
  type LanePosition,
  type LaneWriter,
  type ScoredChunk,
  type SinkJob,
} from '../connector.ts'
import { connectorError, type KafkaConnection } from './client.ts'
import { Keys, keyEncoder, type PutKeys } from './keys.ts'
import { positionOffsets } from './positions.ts'
import { RecordBatches } from './record-batches.ts'
import type { EncodeRows } from './row-encoder.ts'
import { orderRows } from './row-order.ts'
import type { Send, Transactions } from './transactions.ts'

/** A batch may have `max.message.bytes`, by default 1 MiB; larger ones than these cost the broker no less for each record. */
const BATCH_BYTES = 640 * 1024

/** A broker takes requests of 100 MB by default. */
const REQUEST_BYTES = 8 * 1024 * 1024

export interface LaneParts {
  readonly connection: KafkaConnection
  readonly transactions: Transactions
  readonly topic: string
  readonly partitions: number
  readonly encode: EncodeRows
}

export class KafkaLane implements LaneWriter {
  readonly #job: SinkJob
  readonly #lane: number
  readonly #parts: LaneParts
  readonly #putKeys: PutKeys
  readonly #keys = new Keys()
  readonly #records: RecordBatches
  #position: LanePosition

  constructor(job: SinkJob, lane: number, position: LanePosition, parts: LaneParts) {
    this.#job = job
    this.#lane = lane
    this.#parts = parts
    this.#position = position
    this.#putKeys = keyEncoder(job)
    const headers = { job_id: job.jobId, model: `${job.model.id}@${job.model.version}` }
    this.#records = new RecordBatches(headers, { batchBytes: BATCH_BYTES, requestBytes: REQUEST_BYTES })
  }

  get position(): LanePosition {
    return this.#position
  }

  async write(chunks: readonly ScoredChunk[]): Promise<LanePosition> {
    if (chunks.length === 0) return this.#position
    this.#requireOrder(chunks)
    this.#encode(chunks)
    let { rows, failedRows } = this.#position
    for (const chunk of chunks) {
      rows += BigInt(chunk.batch.rows)
      failedRows += BigInt(chunk.failed.length)
    }
    const bytes = this.#position.bytes + BigInt(this.#records.contentBytes)
    const next = { ...LANE_START, chunks: this.#position.chunks + chunks.length, rows, failedRows, bytes }
    return this.#commit(this.#sends(), next)
  }

  async end(): Promise<LanePosition> {
    if (this.#position.done) return this.#position
    // A transaction of its own: the broker begins it only after the markers of the one before are written. So when the lane is
    // seen to be done, consumers see all of its rows.
    return this.#commit([], { ...this.#position, done: true })
  }

  async close(): Promise<void> {
    await this.#parts.transactions.close()
  }

  async #commit(sends: Iterable<Send>, next: LanePosition): Promise<LanePosition> {
    const { connection, transactions } = this.#parts
    try {
      await transactions.run(sends, positionOffsets(connection, this.#job, this.#lane, next))
    } catch (error) {
      throw connectorError(error, 'write_failed')
    }
    this.#position = next
    return next
  }

  #requireOrder(chunks: readonly ScoredChunk[]): void {
    chunks.forEach((chunk, i) => {
      const expected = this.#position.chunks + i
      if (!this.#position.done && chunk.seq === expected) return
      const message = `lane ${this.#lane} of job ${this.#job.resultId}: expected ${this.#position.done ? 'no chunk after its end' : `chunk ${expected}`}, got chunk ${chunk.seq}`
      throw new ConnectorError('chunk_gap', message, { retriable: false })
    })
  }

  /** Encodes all rows, partition by partition. */
  #encode(chunks: readonly ScoredChunk[]): void {
    const { encode, partitions } = this.#parts
    const keys = this.#keys
    const records = this.#records
    keys.clear()
    records.clear()
    let end = 0
    const ranges = chunks.map(({ seq, batch }) => {
      this.#putKeys(keys, batch)
      const start = end
      end += batch.rows
      return { start, end, keyless: (this.#lane + seq) % partitions, put: encode(records.out, batch) }
    })
    const { rows, starts } = orderRows(ranges, keys, partitions)
    for (let partition = 0; partition < partitions; partition++) {
      const last = starts[partition + 1] as number
      let at = starts[partition] as number
      if (at < last) records.open(partition)
      for (const { start, end, put } of ranges) {
        for (let row = rows[at] as number; at < last && row < end; row = rows[++at] as number) {
          records.begin(keys, row)
          put(row - start)
          records.end(keys)
        }
      }
    }
  }

  /** What was encoded, as requests that the broker takes. */
  *#sends(): Generator<Send> {
    const { topic } = this.#parts
    for (const messages of this.#records.requests(Date.now())) yield { topic, messages }
  }
}
