// Puts a job's chunks into one lane, in order: while one send is under way the next chunks gather, and go together.
import { setImmediate as turn } from 'node:timers/promises'

import { type ChunkHeader, type ChunkId, chunkHeaders } from '../../topics/chunks.ts'
import type { TopicSpec } from '../../topics/topic.ts'
import type { OutgoingRecord, RecordProducer } from '../kafka/producer.ts'
import { NOTHING_SENT, type SentTotals } from './outlet.ts'

/** Records of one send; larger requests only cost memory. */
const MAX_SEND_BYTES = 4 * 1024 * 1024

/** Nothing is sent before `begin` has resolved, nor when it rejects, which then is the error. */
export class LaneSender {
  readonly #producer: RecordProducer
  readonly #topic: TopicSpec
  readonly #lane: number
  readonly #id: Omit<ChunkId, 'seq'>
  readonly #onError: (error: Error) => void
  readonly #begin: Promise<void>
  #queue: { record: OutgoingRecord; rows: number; chunk: boolean }[] = []
  #sending: Promise<void> | null = null
  #chunks = 0
  #rows = 0
  /** What is in Kafka. */
  #sent = NOTHING_SENT

  constructor(
    producer: RecordProducer,
    topic: TopicSpec,
    lane: number,
    id: Omit<ChunkId, 'seq'>,
    onError: (error: Error) => void,
    begin: Promise<void> = Promise.resolve(),
  ) {
    this.#begin = begin
    this.#producer = producer
    this.#topic = topic
    this.#lane = lane
    this.#id = id
    this.#onError = onError
  }

  /** Totals of what is replicated in Kafka. */
  get sent(): SentTotals {
    return this.#sent
  }

  /** Queues a chunk under the lane's next seq. A failed send goes to `onError`, and nothing is sent after it. */
  push(payload: Uint8Array, rows: number): void {
    this.#queue.push({
      record: this.#record({ ...this.#id, type: 'chunk', seq: this.#chunks, rows, firstRow: this.#rows }, payload),
      rows,
      chunk: true,
    })
    this.#chunks++
    this.#rows += rows
    this.#start()
  }

  /** Queues the lane's end, with its totals. */
  end(): void {
    const header: ChunkHeader = { ...this.#id, type: 'end', seq: this.#chunks, chunks: this.#chunks, rows: this.#rows }
    this.#queue.push({ record: this.#record(header, new Uint8Array(0)), rows: 0, chunk: false })
    this.#start()
  }

  /** Resolves when everything queued is in Kafka, or a send has failed. */
  async flush(): Promise<void> {
    await this.#sending
  }

  #start(): void {
    if (!this.#sending && this.#queue.length) this.#sending = this.#sendAll()
  }

  /** After a failed send `#sending` stays: a chunk that went past a lost one would be a gap. */
  async #sendAll(): Promise<void> {
    try {
      // What the source gave in the same moment goes along: of a small job all of it, and the end.
      await turn()
      await this.#begin
      while (this.#queue.length) await this.#sendNext()
      // In the very turn in which the queue was seen empty, or a chunk pushed in between would wait for ever.
      this.#sending = null
    } catch (error) {
      this.#onError(error as Error)
    }
  }

  async #sendNext(): Promise<void> {
    let bytes = 0
    let count = 0
    for (const { record } of this.#queue) {
      bytes += record.value?.byteLength ?? 0
      if (count > 0 && bytes > MAX_SEND_BYTES) break
      count++
    }
    const batch = this.#queue.splice(0, count)
    await this.#producer.send(batch.map(({ record }) => record))
    for (const { record, rows, chunk } of batch) {
      if (!chunk) continue
      this.#sent = {
        chunks: this.#sent.chunks + 1,
        rows: this.#sent.rows + rows,
        bytes: this.#sent.bytes + (record.value?.byteLength ?? 0),
      }
    }
  }

  #record(header: ChunkHeader, payload: Uint8Array): OutgoingRecord {
    const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    return { topic: this.#topic, partition: this.#lane, value, headers: chunkHeaders(header) }
  }
}
