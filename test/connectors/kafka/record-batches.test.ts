// Records that we encode are those that the client library would have made of the same rows, byte for byte, and its decoder
// reads the rows out of them again; whatever the limits, order and sizes hold.
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  EncodedMessages,
  type EncodedRecords,
  groupMessages,
} from '../../../connectors/kafka/kafkajs/encoded-messages.ts'
import { type ProduceRequest, planProduce } from '../../../connectors/kafka/kafkajs/produce-request.ts'
import { putVarint, varintSize } from '../../../connectors/kafka/kafkajs/varint.ts'
import { Keys } from '../../../connectors/kafka/keys.ts'
import { partitionOf } from '../../../connectors/kafka/murmur2.ts'
import { type BatchLimits, RecordBatches } from '../../../connectors/kafka/record-batches.ts'
import { orderRows } from '../../../connectors/kafka/row-order.ts'

const require = createRequire(import.meta.url)
const libraryRequest = require('kafkajs/src/protocol/requests/produce/v3/request.js') as (request: ProduceRequest) => {
  encode(): Promise<{ readonly buffer: Buffer }>
}
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => { readonly buffer: Buffer }
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (decoder: object) => Promise<{
  readonly producerId: string
  readonly firstSequence: number
  readonly records: readonly { key: Buffer | null; value: Buffer; headers: Record<string, Buffer>; timestamp: string }[]
}>

interface Row {
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer
}

const HEADERS = { job_id: 'batch-ä', model: 'churn@1' }
const TIMESTAMP = 1_700_000_000_123
const WIDE: BatchLimits = { batchBytes: 640 * 1024, requestBytes: 8 * 1024 * 1024 }

/** The requests that rows become, which are to be given partition by partition. */
function encode(rows: readonly Row[], limits: BatchLimits, records = new RecordBatches(HEADERS, limits)) {
  const keys = keysOf(rows.map(({ key }) => key))
  records.clear()
  let open = -1
  rows.forEach(({ partition, value }, i) => {
    if (partition !== open) records.open(partition)
    open = partition
    records.begin(keys, i)
    records.out.raw(value, 0, value.length)
    records.end(keys)
  })
  return [...records.requests(TIMESTAMP)].map(({ byPartition }) => byPartition)
}

function keysOf(of: readonly (Buffer | null)[]): Keys {
  const keys = new Keys()
  for (const key of of) {
    if (key === null) keys.none()
    else {
      keys.text.raw(key, 0, key.length)
      keys.end()
    }
  }
  return keys
}

function produce(
  partition: number,
  messages: EncodedRecords | ProduceRequest['topicData'][0]['partitions'][0]['messages'],
) {
  const partitions = [{ partition, firstSequence: 17, messages }]
  return {
    acks: -1,
    timeout: 1,
    transactionalId: 't',
    producerId: '4000',
    producerEpoch: 3,
    topicData: [{ topic: 'o', partitions }],
  }
}

function written(request: ProduceRequest): Buffer {
  const body = planProduce(request)
  const target = Buffer.alloc(body.size)
  body.write(target, 0)
  return target
}

/** Of the body of a request for the topic `o` by the transactional id `t`, with one batch: where the batch begins. */
const BATCH_AT = 3 + 2 + 4 + 4 + 3 + 4 + 4 + 4

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const rowsOfPartition = fc.array(fc.record({ key: fc.option(bytes(80)), value: bytes(300) }), { maxLength: 60 })
const someRows = fc
  .array(rowsOfPartition, { maxLength: 4 })
  .map((partitions) => partitions.flatMap((rows, p) => rows.map((row): Row => ({ ...row, partition: p * 3 }))))

test('batches are the library’s, byte for byte, and its decoder reads the rows out of them', async () => {
  const limits = fc.record({
    batchBytes: fc.integer({ min: 1, max: 2000 }),
    requestBytes: fc.integer({ min: 1, max: 4000 }),
  })
  await fc.assert(
    fc.asyncProperty(someRows, limits, async (rows, limit) => {
      const left = Map.groupBy(rows, ({ partition }) => partition)
      for (const request of encode(rows, limit)) {
        const sizes = Object.values(request).map((batch) => batch.bytes.length)
        if (sizes.length > 1) expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(limit.requestBytes)
        for (const [partition, batch] of Object.entries(request)) {
          if (batch.length > 1) expect(batch.bytes.length).toBeLessThanOrEqual(limit.batchBytes)
          const expected = left.get(Number(partition))?.splice(0, batch.length) ?? []
          const messages = expected.map(({ key, value }) => ({
            key,
            value,
            headers: HEADERS,
            timestamp: String(TIMESTAMP),
          }))
          const ours = written(produce(Number(partition), batch))
          const { buffer } = await libraryRequest(produce(Number(partition), messages)).encode()
          expect(ours.equals(buffer)).toBe(true)
          const decoded = await decodeBatch(new Decoder(ours.subarray(BATCH_AT)))
          expect(decoded).toMatchObject({ producerId: '4000', firstSequence: 17 })
          expect(decoded.records.map(({ key, value }) => ({ key, value }))).toEqual(
            expected.map(({ key, value }) => ({ key, value })),
          )
          for (const { headers, timestamp } of decoded.records) {
            expect(headers).toEqual({ job_id: Buffer.from('batch-ä'), model: Buffer.from('churn@1') })
            expect(timestamp).toBe(String(TIMESTAMP))
          }
        }
      }
      expect([...left.values()].flat()).toEqual([])
    }),
  )
})

test('a record that is larger than a batch is one of its own, and nothing overtakes it', () => {
  const value = (size: number) => Buffer.alloc(size, 'v')
  const rows = [10, 700_000, 20, 30].map((size) => ({ partition: 5, key: null, value: value(size) }))
  expect(encode(rows, WIDE).map((request) => request[5]?.length)).toEqual([1, 1, 2])
  const others = [1, 2, 3].flatMap((partition) => [
    { partition, key: null, value: value(600) },
    { partition, key: null, value: value(10) },
  ])
  const requests = encode(others, { batchBytes: 500, requestBytes: 1000 })
  expect(requests.map((request) => Object.keys(request).map(Number))).toEqual([[1], [1, 2], [2, 3], [3]])
})

test('values of all sizes one after the other, in a buffer that grows and is used again', async () => {
  const records = new RecordBatches(HEADERS, WIDE)
  const sizes = [0, 1, 63, 64, 65, 8191, 8192, 100, 400_000, 3, 1_048_576, 2_000_000, 5]
  for (const round of [sizes, sizes.toReversed()]) {
    const rows = round.map(
      (size, i): Row => ({ partition: 0, key: Buffer.from(`k${i}`), value: Buffer.alloc(size, i + 1) }),
    )
    const seen = []
    for (const request of encode(rows, WIDE, records)) {
      const decoded = await decodeBatch(
        new Decoder(written(produce(0, request[0] as EncodedRecords)).subarray(BATCH_AT)),
      )
      seen.push(...decoded.records.map(({ key, value }) => ({ partition: 0, key, value: Buffer.from(value) })))
    }
    expect(seen).toEqual(rows)
    expect(records.contentBytes).toBe(rows.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + value.length, 0))
  }
})

test('rows are ordered by the partition of their key, those without one by their chunk', () => {
  const chunk = fc.record({ keys: fc.array(fc.option(bytes(12)), { maxLength: 30 }), keyless: fc.nat({ max: 6 }) })
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 5 }), (chunks) => {
      const keys = keysOf(chunks.flatMap((one) => one.keys))
      let end = 0
      const ranges = chunks.map((one) => {
        end += one.keys.length
        return { end, keyless: one.keyless }
      })
      const { rows, starts } = orderRows(ranges, keys, 7)
      const owners = chunks.flatMap((one) => one.keys.map((key) => (key === null ? one.keyless : partitionOf(7, key))))
      const expected = Array.from({ length: 7 }, (_, p) => owners.flatMap((owner, row) => (owner === p ? [row] : [])))
      expect(expected.map((_, p) => [...rows.subarray(starts[p], starts[p + 1])])).toEqual(expected)
      expect(starts[7]).toBe(owners.length)
    }),
  )
})

test('varints are as long as they say, and the shortest that there are', () => {
  // Edges of each length, by Kafka's own ByteUtils.sizeOfVarlong: 7 bits a byte, zigzag.
  const edges = [1, 2, 3, 4, 5, 6, 7].flatMap((size) => [
    [2 ** (7 * size - 1) - 1, size],
    [-(2 ** (7 * size - 1)), size],
    [2 ** (7 * size - 1), size + 1],
  ])
  const target = new Uint8Array(16)
  for (const [value, size] of edges) {
    expect(varintSize(value as number)).toBe(size)
    expect(putVarint(target, 3, value as number)).toBe(3 + (size as number))
  }
})

test('messages are grouped as the library groups them; encoded ones pass as they are', () => {
  const library = require('kafkajs/src/producer/groupMessagesPerPartition.js') as typeof groupMessages
  expect(library).not.toBe(groupMessages)
  const partitioner = ({ message }: { message: { value: unknown } }) => String(message.value).length
  const of = { topic: 't', partitionMetadata: [{}], partitioner }
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 5 })), (texts) => {
      const messages = texts.map((value) => ({ value }))
      expect(groupMessages({ ...of, messages })).toEqual(library({ ...of, messages }))
    }),
  )
  expect(groupMessages({ ...of, partitionMetadata: [], messages: [{ value: 'a' }] })).toEqual({})
  const byPartition = { 3: { length: 1, bytes: new Uint8Array(1), timestamp: 0 } }
  const messages = new EncodedMessages(byPartition)
  expect(groupMessages({ ...of, messages })).toBe(byPartition)
  expect(() => library({ ...of, messages })).toThrow(/import connectors\/kafka\/kafkajs\/library.ts first/)
})
