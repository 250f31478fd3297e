// The outlet of a read that can be resumed. All lanes are written by one transactional producer: each transaction holds
// chunks that follow each other in the order of the key, in whatever lanes they go to, and the position after them. So at
// any moment what can be read of the lanes is the rows up to one key, all of them and each once, and the position names
// that key; a reader that dies leaves no holes. Its successor opens the same transactional id, which ends what was open
// and makes the broker refuse everything else from it, also if it was only paused; then it reads the position, which
// cannot change any more, and goes on with the rows beyond the key, under the next seqs.
import type { Keyset } from '../../connectors/connector.ts'
import { type ChunkHeader, chunkHeaders, chunksTopics } from '../../topics/chunks.ts'
import { type Column, type ColumnBatch, isNull, type Vector } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry, ReadPosition } from '../../topics/progress.ts'
import { valueText } from '../../topics/value-text.ts'
import { ledgerRecord } from '../kafka/ledger.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'
import type { TransactionalWriter } from '../kafka/transactions.ts'
import { NOTHING_SENT, type Outlet, type SentTotals } from './outlet.ts'

/** Chunks of one transaction; larger ones only cost memory. */
const MAX_WRITE_BYTES = 4 * 1024 * 1024

interface QueuedChunk {
  readonly record: OutgoingRecord
  readonly lane: number
  readonly rows: number
  readonly bytes: number
  /** Key of its last row. */
  readonly key: string
}

export class KeyedLanes implements Outlet {
  readonly before: ReadonlyMap<number, SentTotals>
  readonly keyset: Keyset
  readonly #job: JobSnapshot
  readonly #workerId: string
  readonly #writer: TransactionalWriter
  readonly #failure = new AbortController()
  /** What was pushed, by lane: where the next chunk's seq and first row come from. */
  readonly #pushed: Map<number, SentTotals>
  #queue: QueuedChunk[] = []
  #writing: Promise<void> | null = null
  /** What is in Kafka. */
  #position: ReadPosition

  /** The writer must be open before the position is read. */
  constructor(job: JobSnapshot, position: ReadPosition, writer: TransactionalWriter, workerId: string) {
    this.#job = job
    this.#position = position
    this.#writer = writer
    this.#workerId = workerId
    this.before = new Map(position.lanes.map(({ lane, ...totals }) => [lane, toNumbers(totals)]))
    this.#pushed = new Map(job.lanes.map((lane) => [lane, this.before.get(lane) ?? NOTHING_SENT]))
    this.keyset = { column: job.input.key_column ?? '', after: position.key }
  }

  get failed(): AbortSignal {
    return this.#failure.signal
  }

  push(lane: number, payload: Uint8Array, batch: ColumnBatch): void {
    const { chunks, rows, bytes } = this.#pushed.get(lane) ?? NOTHING_SENT
    const header: ChunkHeader = { ...this.#id(), type: 'chunk', seq: chunks, rows: batch.rows, firstRow: rows }
    const record = this.#record(lane, header, payload)
    const key = lastKey(batch, this.keyset.column)
    this.#pushed.set(lane, { chunks: chunks + 1, rows: rows + batch.rows, bytes: bytes + payload.byteLength })
    this.#queue.push({ record, lane, rows: batch.rows, bytes: payload.byteLength, key })
    if (!this.#writing) this.#writing = this.#writeQueue()
  }

  /** Every transaction tells the ledger. */
  report(): void {}

  /** Says that this reader holds the read. */
  begin(): Promise<void> {
    return this.#write([], this.#position)
  }

  async end(): Promise<void> {
    await this.#settled()
    const ends = [...this.#pushed].map(([lane, { chunks, rows }]) =>
      this.#record(lane, { ...this.#id(), type: 'end', seq: chunks, chunks, rows }, new Uint8Array(0)),
    )
    await this.#write(ends, { ...this.#position, held: false }, { done: true })
  }

  /** The read cannot go on. Chunks that wait are forgotten. */
  async fail(error: NonNullable<ProgressEntry['error']>): Promise<void> {
    this.#queue = []
    await this.#settled()
    await this.#write([], { ...this.#position, held: false }, { error })
  }

  /** Lets go of the read for another reader. Chunks that wait are forgotten: they come again from the source. */
  async release(): Promise<void> {
    this.#queue = []
    await this.#settled()
    await this.#write([], { ...this.#position, held: false })
  }

  /** Nothing is under way, and nothing has failed. */
  async #settled(): Promise<void> {
    await this.#writing
    this.failed.throwIfAborted()
  }

  /** While one transaction is under way the next chunks gather, and go together. To gather for longer saved nothing (measured). */
  async #writeQueue(): Promise<void> {
    try {
      while (this.#queue.length) {
        const chunks = this.#takeQueued()
        await this.#write(
          chunks.map(({ record }) => record),
          advanced(this.#position, chunks),
        )
      }
      // In the very turn in which the queue was seen empty, or a chunk pushed in between would wait for ever.
      this.#writing = null
    } catch {
      // `failed` has it; `#writing` stays, for nothing may be written after this.
    }
  }

  #takeQueued(): QueuedChunk[] {
    let bytes = 0
    let count = 0
    for (const chunk of this.#queue) {
      bytes += chunk.bytes
      if (count > 0 && bytes > MAX_WRITE_BYTES) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #write(
    records: readonly OutgoingRecord[],
    position: ReadPosition,
    outcome: { done?: true; error?: NonNullable<ProgressEntry['error']> } = {},
  ): Promise<void> {
    try {
      await this.#writer.write([...records, ledgerRecord(this.#entry(position, outcome))], null)
      this.#position = position
    } catch (error) {
      this.#failure.abort(error)
      throw error
    }
  }

  #entry(position: ReadPosition, { done = false, error = null }: Partial<ProgressEntry>): ProgressEntry {
    const { job_id, tenant_id, attempt } = this.#job
    const sum = (count: 'chunks' | 'rows' | 'bytes') => position.lanes.reduce((total, lane) => total + lane[count], 0n)
    return {
      job_id,
      tenant_id,
      stage: 'read',
      output: 0,
      lane: -1,
      attempt,
      worker_id: this.#workerId,
      offset: -1n,
      chunks: sum('chunks'),
      rows: sum('rows'),
      failed_rows: 0n,
      bytes: sum('bytes'),
      done,
      error,
      position,
      sent: [],
      at: BigInt(Date.now()),
    }
  }

  #id(): { jobId: string; attempt: number } {
    return { jobId: this.#job.job_id, attempt: this.#job.attempt }
  }

  #record(lane: number, header: ChunkHeader, payload: Uint8Array): OutgoingRecord {
    const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    return { topic: chunksTopics[this.#job.pool], partition: lane, value, headers: chunkHeaders(header) }
  }
}

/** The position after these chunks, which follow it in the order of the key. */
function advanced(position: ReadPosition, chunks: readonly QueuedChunk[]): ReadPosition {
  const lanes = new Map(position.lanes.map((totals) => [totals.lane, { ...totals }]))
  for (const { lane, rows, bytes } of chunks) {
    const totals = lanes.get(lane) ?? { lane, chunks: 0n, rows: 0n, bytes: 0n }
    totals.chunks += 1n
    totals.rows += BigInt(rows)
    totals.bytes += BigInt(bytes)
    lanes.set(lane, totals)
  }
  return { ...position, key: chunks.at(-1)?.key ?? position.key, lanes: [...lanes.values()] }
}

function lastKey(batch: ColumnBatch, name: string): string {
  const index = batch.columns.findIndex((column) => column.name === name)
  const vector = batch.vectors[index] as Vector
  const row = batch.rows - 1
  // The source refuses such rows; without a key there is no place to go on from.
  if (isNull(vector, row)) throw new TypeError(`expected a key in ${name}, got NULL`)
  return valueText(batch.columns[index] as Column, vector, row)
}

function toNumbers({ chunks, rows, bytes }: { chunks: bigint; rows: bigint; bytes: bigint }): SentTotals {
  return { chunks: Number(chunks), rows: Number(rows), bytes: Number(bytes) }
}
