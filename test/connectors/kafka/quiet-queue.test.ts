// The library's own queue of a connection's requests: it keeps a timer while a request waits its turn, and none otherwise.
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import '../../../connectors/kafka/kafkajs/library.ts'
import { until } from '../../harness/until.ts'

const require = createRequire(import.meta.url)

interface Queue {
  readonly throttleCheckTimeoutId: unknown
  throttledUntil: number
  push(request: object): void
  fulfillRequest(answer: object): void
}
const RequestQueue = require('kafkajs/src/network/requestQueue/index.js') as new (options: object) => Queue

function openQueue(maxInFlightRequests: number) {
  const logger = { debug() {}, info() {}, error() {}, warn() {}, namespace: () => logger }
  const queue = new RequestQueue({
    maxInFlightRequests,
    requestTimeout: 1000,
    enforceRequestTimeout: false,
    logger,
    isConnected: () => true,
  })
  const sent: number[] = []
  const push = (correlationId: number) =>
    queue.push({
      entry: { correlationId, resolve() {}, reject() {} },
      expectResponse: true,
      sendRequest: () => sent.push(correlationId),
    })
  const answer = (correlationId: number) => queue.fulfillRequest({ correlationId, payload: null, size: 0 })
  return { queue, sent, push, answer }
}

test('an answer after which nothing waits starts no timer', () => {
  const { queue, sent, push, answer } = openQueue(1)
  push(1)
  answer(1)
  expect(sent).toEqual([1])
  expect(queue.throttleCheckTimeoutId).toBeNull()
})

test('a request that waits for an answer, or for the end of a throttling, is sent', async () => {
  const { queue, sent, push, answer } = openQueue(1)
  push(1)
  push(2)
  expect(queue.throttleCheckTimeoutId).not.toBeNull()
  answer(1)
  expect(sent).toEqual([1, 2])
  answer(2)
  queue.throttledUntil = Date.now() + 1_000
  push(3)
  expect(sent).toEqual([1, 2])
  await until(() => sent.length === 3)
  await until(() => queue.throttleCheckTimeoutId === null)
})
