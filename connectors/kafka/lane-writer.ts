// One lane of one attempt. A write is one transaction: the rows of all its chunks, one record each, and the lane's new
// position. So rows become visible to consumers that read committed exactly when the position moves.
import type { IHeaders, Message } from 'kafkajs'
import {
  ConnectorError,
  LANE_START,
  type LanePosition,
  type LaneWriter,
  type ScoredChunk,
  type SinkJob,
} from '../connector.ts'
import { connectorError, type KafkaConnection } from './client.ts'
import { keyEncoder, type PutKeys } from './keys.ts'
import { partitionOf } from './murmur2.ts'
import { positionOffsets } from './positions.ts'
import { type EncodeRows, Pieces } from './row-encoder.ts'
import type { Send, Transactions } from './transactions.ts'

/**
 * Of one partition in one request. Such records are one batch, which may have `max.message.bytes`, by default 1 MiB with
 * Kafka's own bytes; a row that is larger goes alone.
 */
const BATCH_BYTES = 640 * 1024

/**
 * Records of one partition in one request: the client copies all it has for every record that it adds, so its time grows with
 * the square of their number (16 partitions: 93,000 rows/s without this limit, 126,000 with it).
 */
const BATCH_RECORDS = 256

/** Of all partitions in one request; a broker takes 100 MB by default. */
const REQUEST_BYTES = 8 * 1024 * 1024

/** What a record costs besides its key and value, headers included: an upper bound. */
const RECORD_OVERHEAD = 40

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
  readonly #putKeys: PutKeys | null
  readonly #headers: IHeaders
  readonly #overhead: number
  readonly #values = new Pieces()
  readonly #keys = new Pieces()
  #position: LanePosition

  constructor(job: SinkJob, lane: number, position: LanePosition, parts: LaneParts) {
    this.#job = job
    this.#lane = lane
    this.#parts = parts
    this.#position = position
    this.#putKeys = keyEncoder(job)
    this.#headers = { job_id: Buffer.from(job.jobId), model: Buffer.from(`${job.model.id}@${job.model.version}`) }
    this.#overhead = RECORD_OVERHEAD + job.jobId.length + job.model.id.length * 3
  }

  get position(): LanePosition {
    return this.#position
  }

  async write(chunks: readonly ScoredChunk[]): Promise<LanePosition> {
    if (chunks.length === 0) return this.#position
    this.#requireOrder(chunks)
    const owners = this.#encode(chunks)
    let { rows, failedRows } = this.#position
    for (const chunk of chunks) {
      rows += BigInt(chunk.batch.rows)
      failedRows += BigInt(chunk.failed.length)
    }
    const bytes = this.#position.bytes + BigInt(this.#values.bytes + this.#keys.bytes)
    const next = { ...LANE_START, chunks: this.#position.chunks + chunks.length, rows, failedRows, bytes }
    return this.#commit(this.#sends(owners), next)
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

  /** Encodes all rows; tells for each chunk where its rows end and where those without a key go. */
  #encode(chunks: readonly ScoredChunk[]): { end: number; partition: number }[] {
    this.#values.clear()
    this.#keys.clear()
    const rowEnd = () => this.#values.end()
    return chunks.map(({ seq, batch }) => {
      this.#parts.encode(this.#values.out, batch, rowEnd)
      this.#putKeys?.(this.#keys, batch)
      return { end: this.#values.count, partition: (this.#lane + seq) % this.#parts.partitions }
    })
  }

  /** The rows as requests that the broker takes, in the order of the rows. */
  *#sends(chunks: readonly { end: number; partition: number }[]): Generator<Send> {
    const { topic, partitions } = this.#parts
    let messages: Message[] = []
    let total = 0
    const sizes = new Float64Array(partitions)
    const counts = new Int32Array(partitions)
    let row = 0
    for (const { end, partition: sticky } of chunks) {
      for (; row < end; row++) {
        const value = this.#values.at(row)
        const key = this.#putKeys ? this.#keys.at(row) : null
        const partition = key ? partitionOf(key, partitions) : sticky
        const size = this.#overhead + (value?.length ?? 0) + (key?.length ?? 0)
        const full = (sizes[partition] as number) + size > BATCH_BYTES || counts[partition] === BATCH_RECORDS
        if (messages.length && (full || total + size > REQUEST_BYTES)) {
          yield { topic, messages }
          messages = []
          total = 0
          sizes.fill(0)
          counts.fill(0)
        }
        counts[partition] = (counts[partition] as number) + 1
        sizes[partition] = (sizes[partition] as number) + size
        total += size
        messages.push({ partition, key, value, headers: this.#headers })
      }
    }
    if (messages.length) yield { topic, messages }
  }
}
