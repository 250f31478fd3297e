// A consumer that is stopped while it cannot join its group, with the library's own runner.
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import '../../../connectors/kafka/kafkajs/library.ts'

const require = createRequire(import.meta.url)

const { prototype: GROUP } = require('kafkajs/src/consumer/consumerGroup.js') as { prototype: object }
const Runner = require('kafkajs/src/consumer/runner.js') as new (
  options: object,
) => { start(): Promise<void>; stop(): Promise<void> }

const retriable = (type: string) => Object.assign(new Error(type), { type, retriable: true })

test('stopping does not wait until the patience for a join is used up', async () => {
  const logger = { debug() {}, info() {}, error() {}, warn() {}, namespace: () => logger }
  const crashes: Error[] = []
  let joins = 0
  const outage = Promise.withResolvers<void>()
  const group = Object.assign(Object.create(GROUP), {
    cluster: { brokerPool: { brokers: {} } },
    connect: async () => {},
    leave: async () => {},
    getNodeIds: () => ['0'],
    fetch: async () => {
      throw retriable('REBALANCE_IN_PROGRESS')
    },
    // What a join goes through: the first finds its coordinator, the others do not.
    retrier: async () => {
      if (++joins === 1) return
      outage.resolve()
      throw retriable('GROUP_COORDINATOR_NOT_AVAILABLE')
    },
  })
  const runner = new Runner({
    logger,
    consumerGroup: group,
    instrumentationEmitter: { emit() {} },
    concurrency: 1,
    retry: { initialRetryTime: 1 },
    onCrash: (error: Error) => crashes.push(error),
  })
  await runner.start()
  await outage.promise
  await runner.stop()
  expect(joins).toBeGreaterThan(1)
  expect(crashes).toEqual([])
})
