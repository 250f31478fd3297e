// Our Produce requests are byte for byte those of the library that they replace, and our checksum is its.
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from '../../../connectors/kafka/kafkajs/crc32c.ts'
import {
  type PlannedBody,
  type ProduceRequest,
  planProduce,
} from '../../../connectors/kafka/kafkajs/produce-request.ts'
import { frame, type Request } from '../../../connectors/kafka/kafkajs/request-frame.ts'

const require = createRequire(import.meta.url)

type LibraryRequest = Omit<Request, 'encode'> & { encode(): Promise<{ readonly buffer: Buffer }> }

const library = require('kafkajs/src/protocol/requests/produce/v3/request.js') as (
  request: ProduceRequest,
) => LibraryRequest
const librarySum = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Uint8Array) => number

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const text = fc.oneof(fc.constant(null), fc.string(), bytes)
const record = fc.record({
  key: fc.option(text, { nil: undefined }),
  value: text,
  headers: fc.option(
    fc.dictionary(fc.string(), fc.oneof(fc.string(), bytes, fc.array(fc.string(), { minLength: 1 }))),
    {
      nil: undefined,
    },
  ),
  // The library takes the clock where there is none, so every record has one.
  timestamp: fc.integer({ min: 1_000_000_000_000, max: 1_000_000_000_000 + 2 ** 40 }).map(String),
})
const request = fc.record({
  acks: fc.constantFrom(-1, 0, 1),
  timeout: fc.nat(),
  transactionalId: fc.option(fc.string({ minLength: 1 })),
  producerId: fc.constantFrom('-1', '1000', '9223372036854775807'),
  producerEpoch: fc.nat({ max: 32_767 }),
  topicData: fc.array(
    fc.record({
      topic: fc.string({ minLength: 1 }),
      partitions: fc.array(
        fc.record({
          partition: fc.nat({ max: 1000 }),
          firstSequence: fc.nat(),
          messages: fc.array(record, { minLength: 1, maxLength: 5 }),
        }),
        { maxLength: 3 },
      ),
    }),
    { maxLength: 3 },
  ),
})

test('a request is the library’s, byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(request, async (one) => {
      expect(written(planProduce(one))).toEqual(Buffer.from((await library(one).encode()).buffer))
    }),
  )
})

test('a large value is the library’s, too', async () => {
  const value = Buffer.alloc(3_000_000, 'scoreline')
  const messages = [{ value, headers: { seq: '1' }, timestamp: '1000000000000' }]
  const one = { acks: -1, timeout: 30_000, topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }] }
  expect(written(planProduce(one)).equals((await library(one).encode()).buffer)).toBe(true)
})

test('a frame is the library’s', async () => {
  const metadata = require('kafkajs/src/protocol/requests/metadata/v6/request.js') as (of: object) => LibraryRequest
  const original = require('kafkajs/src/protocol/request.js') as typeof frame
  for (const clientId of ['scorer-ä', null]) {
    const framed = { correlationId: 7, clientId, request: metadata({ topics: ['a', 'b'] }) }
    expect((await frame(framed)).buffer).toEqual((await original(framed)).buffer)
    const one = { acks: -1, timeout: 1, topicData: [] }
    const planned = { correlationId: 8, clientId, request: { ...library(one), encode: async () => planProduce(one) } }
    expect((await frame(planned)).buffer).toEqual((await original({ ...planned, request: library(one) })).buffer)
  }
})

test('the checksum is the library’s, wherever the bytes begin and end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 9 }), (array, from) => {
      const part = array.subarray(Math.min(from, array.length))
      expect(crc32c(part)).toBe(librarySum(part))
    }),
  )
  // The check value of CRC-32C.
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
})

function written(body: PlannedBody): Buffer {
  const target = Buffer.alloc(body.size + 5, 0xff)
  body.write(target, 5)
  return target.subarray(5)
}
