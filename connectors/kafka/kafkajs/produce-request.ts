// The body of a Produce request (versions 3 to 7), written once, straight into the buffer that goes to the socket. kafkajs'
// own way copies each record ten times through buffers that double, 25 bytes allocated for each byte sent, and V8 collects
// its whole heap for them. Source: Kafka, "Protocol Guide" and "Record Batch" (magic 2).
import { crc32c } from './crc32c.ts'
import type { EncodedRecords } from './encoded-messages.ts'
import { putVarint, varintSize } from './varint.ts'

type Text = Buffer | string | null | undefined

/** A record as kafkajs hands it to its protocol. */
export interface ProducedRecord {
  readonly key?: Text
  readonly value: Text
  readonly headers?: Readonly<Record<string, Text | readonly Text[]>> | undefined
  /** Milliseconds since 1970. */
  readonly timestamp?: string | number | undefined
}

/** What kafkajs gives its request builders. */
export interface ProduceRequest {
  readonly acks: number
  readonly timeout: number
  readonly transactionalId?: string | null | undefined
  /** An int64: a number, a decimal text, or kafkajs' Long. */
  readonly producerId?: { toString(): string } | undefined
  readonly producerEpoch?: number | undefined
  readonly compression?: number | undefined
  readonly topicData: readonly {
    readonly topic: string
    readonly partitions: readonly {
      readonly partition: number
      readonly firstSequence?: number | undefined
      readonly messages: readonly ProducedRecord[] | EncodedRecords
    }[]
  }[]
}

/** A request body of known size that has not been written yet. */
export interface PlannedBody {
  readonly size: number
  /** Writes `size` bytes from `at` on. */
  write(target: Buffer, at: number): void
}

export function planProduce(request: ProduceRequest): PlannedBody {
  const now = Date.now()
  const topics = request.topicData.map(({ topic, partitions }) => ({
    name: Buffer.from(topic),
    partitions: partitions.map(({ partition, firstSequence = 0, messages }) => ({
      partition,
      batch: { firstSequence, ...('bytes' in messages ? encodedBatch(messages) : planBatch(messages, now)) },
    })),
  }))
  const transactionalId = bytesOf(request.transactionalId)
  let size = 2 + (transactionalId?.length ?? 0) + 2 + 4 + 4
  for (const { name, partitions } of topics) {
    size += 2 + name.length + 4
    for (const { batch } of partitions) size += 4 + 4 + batch.size
  }
  return {
    size,
    write(target, start) {
      let at = putShortBytes(target, start, transactionalId)
      at = target.writeInt16BE(request.acks, at)
      at = target.writeInt32BE(request.timeout, at)
      at = target.writeInt32BE(topics.length, at)
      for (const { name, partitions } of topics) {
        at = putShortBytes(target, at, name)
        at = target.writeInt32BE(partitions.length, at)
        for (const { partition, batch } of partitions) {
          at = target.writeInt32BE(partition, at)
          at = target.writeInt32BE(batch.size, at)
          at = writeBatch(target, at, batch, request)
        }
      }
    },
  }
}

interface PlannedRecord {
  readonly timestampDelta: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly key: Buffer; readonly value: Buffer | null }[]
  /** Bytes after the record's length. */
  readonly length: number
}

interface PlannedBatch {
  readonly firstTimestamp: number
  readonly maxTimestamp: number
  readonly records: number
  readonly size: number
  /** Writes the records from `at` on, and returns the position after them. */
  putRecords(target: Buffer, at: number): number
}

/** Bytes of a batch before its records, and where its checksum stands and what it covers begins. */
const BATCH_HEADER = 61
const CRC_AT = 17
const CRC_FROM = 21

const MAGIC = 2
const TRANSACTIONAL = 16

function encodedBatch({ length, bytes, timestamp }: EncodedRecords): PlannedBatch {
  return {
    firstTimestamp: timestamp,
    maxTimestamp: timestamp,
    records: length,
    size: BATCH_HEADER + bytes.length,
    putRecords(target, at) {
      target.set(bytes, at)
      return at + bytes.length
    },
  }
}

function planBatch(messages: readonly ProducedRecord[], now: number): PlannedBatch {
  const timestamps = messages.map(({ timestamp }) => Number(timestamp ?? now))
  const firstTimestamp = timestamps.reduce((a, b) => Math.min(a, b), timestamps[0] ?? now)
  const maxTimestamp = timestamps.reduce((a, b) => Math.max(a, b), firstTimestamp)
  const records = messages.map((message, i) => planRecord(message, i, (timestamps[i] as number) - firstTimestamp))
  const size = records.reduce((sum, { length }) => sum + varintSize(length) + length, BATCH_HEADER)
  const putRecords = (target: Buffer, start: number) =>
    records.reduce((at, record, offsetDelta) => putRecord(target, at, record, offsetDelta), start)
  return { firstTimestamp, maxTimestamp, records: records.length, size, putRecords }
}

function planRecord(message: ProducedRecord, offsetDelta: number, timestampDelta: number): PlannedRecord {
  const key = bytesOf(message.key)
  const value = bytesOf(message.value)
  const headers = Object.entries(message.headers ?? {}).flatMap(([name, content]) => {
    const contents = Array.isArray(content) ? (content as readonly Text[]) : [content as Text]
    return contents.map((one) => ({ key: Buffer.from(name), value: bytesOf(one) }))
  })
  let length = 1 + varintSize(timestampDelta) + varintSize(offsetDelta)
  length += bytesSize(key) + bytesSize(value) + varintSize(headers.length)
  for (const header of headers) length += bytesSize(header.key) + bytesSize(header.value)
  return { timestampDelta, key, value, headers, length }
}

/** Returns the position after the batch; so do all `put…` functions. */
function writeBatch(
  target: Buffer,
  start: number,
  batch: PlannedBatch & { readonly firstSequence: number },
  request: ProduceRequest,
): number {
  let at = target.writeBigInt64BE(0n, start)
  at = target.writeInt32BE(batch.size - 12, at)
  at = target.writeInt32BE(0, at) // partition leader epoch: the broker's to fill in
  at = target.writeInt8(MAGIC, at)
  at += 4
  at = target.writeInt16BE(request.transactionalId ? TRANSACTIONAL : 0, at)
  at = target.writeInt32BE(batch.records - 1, at)
  at = target.writeBigInt64BE(BigInt(batch.firstTimestamp), at)
  at = target.writeBigInt64BE(BigInt(batch.maxTimestamp), at)
  at = target.writeBigInt64BE(BigInt(String(request.producerId ?? -1)), at)
  at = target.writeInt16BE(request.producerEpoch ?? 0, at)
  at = target.writeInt32BE(batch.firstSequence, at)
  at = target.writeInt32BE(batch.records, at)
  at = batch.putRecords(target, at)
  target.writeUInt32BE(crc32c(target.subarray(start + CRC_FROM, at)), start + CRC_AT)
  return at
}

function putRecord(target: Buffer, start: number, record: PlannedRecord, offsetDelta: number): number {
  let at = putVarint(target, start, record.length)
  at = target.writeInt8(0, at)
  at = putVarint(target, at, record.timestampDelta)
  at = putVarint(target, at, offsetDelta)
  at = putBytes(target, at, record.key)
  at = putBytes(target, at, record.value)
  at = putVarint(target, at, record.headers.length)
  for (const { key, value } of record.headers) at = putBytes(target, putBytes(target, at, key), value)
  return at
}

function bytesOf(value: Text): Buffer | null {
  if (value === null || value === undefined) return null
  return Buffer.isBuffer(value) ? value : Buffer.from(value)
}

/** After their length in two bytes; -1 is null. */
export function putShortBytes(target: Buffer, at: number, bytes: Buffer | null): number {
  const content = target.writeInt16BE(bytes?.length ?? -1, at)
  return content + (bytes?.copy(target, content) ?? 0)
}

/** After their length as a varint; -1 is null. */
function putBytes(target: Buffer, at: number, bytes: Buffer | null): number {
  const content = putVarint(target, at, bytes?.length ?? -1)
  return content + (bytes?.copy(target, content) ?? 0)
}

function bytesSize(bytes: Buffer | null): number {
  return varintSize(bytes?.length ?? -1) + (bytes?.length ?? 0)
}
