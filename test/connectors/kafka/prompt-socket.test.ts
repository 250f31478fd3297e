// Connections to brokers send what is written at once.
import { once } from 'node:events'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { Kafka, logLevel } from '../../../connectors/kafka/kafkajs/library.ts'

test('a connection does not wait for acknowledgements of what it sent before', async () => {
  const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const brokers = [`127.0.0.1:${(server.address() as AddressInfo).port}`]
  const admin = new Kafka({ clientId: 'test', brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin()
  await expect(admin.connect()).rejects.toThrow()
  expect(noDelay.mock.calls).toEqual([[true]])
  server.close()
})
