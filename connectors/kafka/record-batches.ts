// Rows as Kafka's record batches, written once: a value is encoded where it stays, and what belongs before it is put there when
// its length is known. No row becomes an object. Source: Kafka, "Message Format", record batch (magic 2).
import { TextBuffer } from '../text/text-buffer.ts'
import { EncodedMessages, type EncodedRecords } from './kafkajs/encoded-messages.ts'
import { putVarint, varintSize } from './kafkajs/varint.ts'
import type { Keys } from './keys.ts'

export interface BatchLimits {
  /** Of the records of one batch; one that is larger is alone in its batch. */
  readonly batchBytes: number
  /** Of all records of one request. */
  readonly requestBytes: number
}

/** Records of one partition that lie together in the buffer. */
interface Batch {
  readonly partition: number
  readonly start: number
  end: number
  records: number
}

export class RecordBatches {
  /** Where the value of the record that was begun is to be appended. */
  readonly out = new TextBuffer()
  readonly #headers: Buffer
  readonly #limits: BatchLimits
  #batches: Batch[] = []
  #batch: Batch = { partition: -1, start: 0, end: 0, records: 0 }
  /** Of the record that was begun: where it and its value start, and its key among the keys. */
  #start = 0
  #valueStart = 0
  #keyStart = 0
  #key = -1
  /** Values are about as long as the one before, so the same room before them will do. */
  #lastValue = 0
  #contentBytes = 0

  /** Every record gets these headers. */
  constructor(headers: Readonly<Record<string, string>>, limits: BatchLimits) {
    this.#headers = encodeHeaders(headers)
    this.#limits = limits
  }

  /** Bytes of all keys and values since `clear`. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  /** The records that follow are this partition's. */
  open(partition: number): void {
    this.#openAt(partition, this.out.length)
  }

  /** Begins a record with a row's key. Next its value is appended to `out`. */
  begin(keys: Keys, row: number): void {
    this.#key = keys.lengthOf(row)
    this.#keyStart = keys.startOf(row)
    const room = this.#sizeBefore(this.#lastValue)
    this.#start = this.out.length
    this.out.reserve(room)
    this.#valueStart = this.out.length += room
  }

  /** Ends the record that was begun. */
  end(keys: Keys): void {
    const { out } = this
    const value = out.length - this.#valueStart
    const size = this.#sizeBefore(value) + value + this.#headers.length
    if (this.#batch.records > 0 && this.#start - this.#batch.start + size > this.#limits.batchBytes)
      this.#openAt(this.#batch.partition, this.#start)
    this.#moveValue(this.#start + this.#sizeBefore(value), value)
    this.#putBefore(keys.text.bytes, value)
    out.reserve(this.#headers.length)
    out.bytes.set(this.#headers, out.length)
    out.length += this.#headers.length
    this.#batch.end = out.length
    this.#batch.records++
    this.#lastValue = value
    this.#contentBytes += value + Math.max(this.#key, 0)
  }

  /** All records as requests, each partition's in their order. They are views of the buffer, valid until `clear`. */
  *requests(timestamp: number): Generator<EncodedMessages> {
    let left = this.#batches
    while (left.length > 0) {
      const later: Batch[] = []
      const byPartition: Record<number, EncodedRecords> = {}
      const seen = new Set<number>()
      let bytes = 0
      for (const batch of left) {
        const { partition, start, end, records } = batch
        const full = bytes > 0 && bytes + end - start > this.#limits.requestBytes
        if (full || seen.has(partition)) later.push(batch)
        else {
          byPartition[partition] = { length: records, bytes: this.out.bytes.subarray(start, end), timestamp }
          bytes += end - start
        }
        // Also if it was not taken: nothing may overtake it.
        seen.add(partition)
      }
      yield new EncodedMessages(byPartition)
      left = later
    }
  }

  clear(): void {
    this.out.length = 0
    this.#batches = []
    this.#contentBytes = 0
  }

  #openAt(partition: number, start: number): void {
    this.#batch = { partition, start, end: start, records: 0 }
    this.#batches.push(this.#batch)
  }

  /** Bytes of the record up to its value, if that has so many. */
  #sizeBefore(value: number): number {
    const inside = this.#sizeInside(value)
    return varintSize(inside + value + this.#headers.length) + inside
  }

  /** The same without the record's own length. */
  #sizeInside(value: number): number {
    const key = this.#key
    return ZEROS + varintSize(this.#batch.records) + varintSize(key) + (key > 0 ? key : 0) + varintSize(value)
  }

  #moveValue(to: number, length: number): void {
    const { out } = this
    const by = to - this.#valueStart
    if (by === 0) return
    if (by > 0) out.reserve(by)
    out.bytes.copyWithin(to, this.#valueStart, this.#valueStart + length)
    out.length += by
  }

  #putBefore(keys: Uint8Array, value: number): void {
    const { bytes } = this.out
    let at = putVarint(bytes, this.#start, this.#sizeInside(value) + value + this.#headers.length)
    bytes[at++] = 0 // attributes
    bytes[at++] = 0 // timestamp delta
    at = putVarint(bytes, at, this.#batch.records)
    at = putVarint(bytes, at, this.#key)
    for (let i = 0; i < this.#key; i++) bytes[at++] = keys[this.#keyStart + i] as number
    putVarint(bytes, at, value)
  }
}

/** Attributes and timestamp delta. */
const ZEROS = 2

/** How many there are, and each one's name and value, as they end every record. */
function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const texts = Object.entries(headers).map((header) => header.map((text) => Buffer.from(text)))
  const number = (value: number) => {
    const bytes = Buffer.alloc(varintSize(value))
    putVarint(bytes, 0, value)
    return bytes
  }
  return Buffer.concat([number(texts.length), ...texts.flat().flatMap((text) => [number(text.length), text])])
}
