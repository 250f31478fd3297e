// A stream of Kafka's frames, however a socket cuts it.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { Kafka, logLevel } from '../../../connectors/kafka/kafkajs/library.ts'
import { FrameReader } from '../../../connectors/kafka/kafkajs/read-responses.ts'

function frame(body: string): Buffer {
  const bytes = Buffer.alloc(4 + body.length)
  bytes.writeInt32BE(body.length)
  bytes.write(body, 4)
  return bytes
}

test('frames come whole, in pieces of every size, out of a buffer that is used again', () => {
  const frames = ['a response', '', 'x', 'y'.repeat(70), 'the last'].map(frame)
  const stream = Buffer.concat(frames)
  for (let size = 1; size <= stream.length; size++) {
    const reader = new FrameReader()
    const shared = Buffer.alloc(size)
    const got: Buffer[] = []
    for (let at = 0; at < stream.length; at += size) {
      const copied = stream.copy(shared, 0, at, at + size)
      reader.take(shared.subarray(0, copied), (each) => got.push(each))
      shared.fill(0xff)
    }
    expect(got, `pieces of ${size}`).toEqual(frames)
  }
})

test('what cannot be a broker of Kafka’s is an error of the connection, which says what to look for', async () => {
  const server = createServer((socket) => socket.end(Buffer.from([0xff, 0xff, 0xff, 0xfe, 1, 2, 3]))).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const brokers = [`127.0.0.1:${(server.address() as AddressInfo).port}`]
  const admin = new Kafka({ clientId: 'test', brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin()
  await expect(admin.connect()).rejects.toThrow(/response of -2 bytes; is it a broker of Kafka's at that port/)
  server.close()
})
