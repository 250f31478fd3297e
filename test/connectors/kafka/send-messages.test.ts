// A send to partitions that two brokers lead, where one of them fails: every record is written once. The two are played here,
// since a real pair fails in these ways only by chance; sequence numbers and transactions are kafkajs' own.
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { EncodedMessages } from '../../../connectors/kafka/kafkajs/encoded-messages.ts'
import type { ProduceRequest } from '../../../connectors/kafka/kafkajs/produce-request.ts'
import { type Broker, type Client, createSendMessages } from '../../../connectors/kafka/kafkajs/send-messages.ts'

const require = createRequire(import.meta.url)

const { createErrorFromCode } = require('kafkajs/src/protocol/error.js') as { createErrorFromCode(code: number): Error }
const { KafkaJSConnectionClosedError } = require('kafkajs/src/errors.js') as {
  KafkaJSConnectionClosedError: new (message: string, at: object) => Error
}
const createEosManager = require('kafkajs/src/producer/eosManager/index.js') as (
  options: object,
) => Client['eosManager'] & { initProducerId(): Promise<void>; beginTransaction(): void }

const NOT_LEADER = 6
const OUT_OF_ORDER_SEQUENCE = 45
const CONCURRENT_TRANSACTIONS = 51
const TOPIC_AUTHORIZATION_FAILED = 29

const TOPIC = 'scores'
const A = 1
const B = 2

/** Happens to a broker's request, once, before it writes or before it answers. */
interface Faults {
  add?: (partitions: readonly number[]) => void
  write?: (nodeId: number, partition: number) => void
  answer?: (nodeId: number) => Promise<void> | void
  refresh?: () => void
}

/** Two brokers, with partition 0 led by A and partition 1 by B; `log` has the first sequences that each partition holds. */
class Pair {
  readonly leaders = new Map([
    [0, A],
    [1, B],
  ])
  readonly log = new Map<number, number[]>()
  readonly faults: Faults = {}

  async send(records: Record<number, number>): Promise<readonly object[]> {
    const logger = { debug() {}, info() {}, error() {}, warn() {} }
    const coordinator = {
      initProducerId: async () => ({ producerId: '7', producerEpoch: 0 }),
      addPartitionsToTxn: async ({ topics }: { topics: { partitions: number[] }[] }) =>
        this.faults.add?.(topics.flatMap(({ partitions }) => partitions)),
    }
    const cluster = {
      retry: {},
      isConnected: () => true,
      connect: async () => {},
      addMultipleTargetTopics: async () => {},
      refreshMetadata: async () => this.faults.refresh?.(),
      refreshMetadataIfNecessary: async () => {},
      removeBroker: () => {},
      findTopicPartitionMetadata: () => [...this.leaders].map(([partitionId, leader]) => ({ partitionId, leader })),
      findLeaderForPartitions: (_topic: string, partitions: readonly string[]) =>
        Object.groupBy(
          partitions.map(Number).filter((partition) => this.leaders.has(partition)),
          (partition) => this.leaders.get(partition) as number,
        ),
      findBroker: async ({ nodeId }: { nodeId: number }) => this.#brokers[Number(nodeId) - A] as Broker,
      findGroupCoordinator: async () => coordinator,
    }
    const eosManager = createEosManager({ logger, cluster, transactional: true, transactionalId: 'lane' })
    await eosManager.initProducerId()
    eosManager.beginTransaction()
    const batches = Object.entries(records).map(([partition, length]) => [
      partition,
      { length, bytes: new Uint8Array(length), timestamp: 0 },
    ])
    return createSendMessages({ logger, cluster, partitioner: () => 0, eosManager, retrier })({
      acks: -1,
      timeout: 1000,
      topicMessages: [{ topic: TOPIC, messages: new EncodedMessages(Object.fromEntries(batches)) }],
    })
  }

  readonly #brokers = [A, B].map((nodeId) => ({
    nodeId,
    produce: (request: ProduceRequest) => this.#produce(nodeId, request),
  }))

  async #produce(nodeId: number, { topicData }: ProduceRequest) {
    const errors = topicData.flatMap(({ partitions }) => partitions.flatMap((batch) => this.#write(nodeId, batch)))
    await this.faults.answer?.(nodeId)
    if (errors[0]) throw errors[0]
    return { topics: topicData.map(({ topic: topicName, partitions }) => ({ topicName, partitions })) }
  }

  /** As a leader does: a sequence that it has is not written again, and none may be left out. */
  #write(nodeId: number, batch: ProduceRequest['topicData'][number]['partitions'][number]): Error[] {
    const { partition, firstSequence = 0, messages } = batch
    try {
      this.faults.write?.(nodeId, partition)
    } catch (error) {
      return [error as Error]
    }
    if (this.leaders.get(partition) !== nodeId) return [createErrorFromCode(NOT_LEADER)]
    const held = this.log.get(partition) ?? []
    if (held.includes(firstSequence)) return []
    if (firstSequence !== held.length * messages.length) return [createErrorFromCode(OUT_OF_ORDER_SEQUENCE)]
    this.log.set(partition, [...held, firstSequence])
    return []
  }
}

/** Tries again at once: a request that is not waited for is still under way then. */
const retrier: Client['retrier'] = (attempt) =>
  new Promise((resolve, reject) => {
    const tryAgain = (count: number): Promise<void> =>
      attempt(reject, count, 0).then(resolve, (error) => (count < 3 ? tryAgain(count + 1) : reject(error)))
    void tryAgain(0)
  })

/** A fault that happens the first time only. */
function once<T extends unknown[]>(fault: () => unknown, when: (...of: T) => boolean = () => true) {
  let left = 1
  return (...of: T): never => (when(...of) && left-- > 0 ? fault() : undefined) as never
}

const fail = (error: Error) => () => {
  throw error
}

const ONCE_EACH = new Map([
  [0, [0]],
  [1, [0]],
])

const sorted = (log: ReadonlyMap<number, number[]>) => new Map([...log].sort(([a], [b]) => a - b))

test('a broker that is still writing when another refuses is waited for, and not asked again', async () => {
  const pair = new Pair()
  pair.faults.add = once(fail(createErrorFromCode(CONCURRENT_TRANSACTIONS)), (of: readonly number[]) => of.includes(0))
  pair.faults.answer = once(
    () => turn(),
    (nodeId: number) => nodeId === B,
  )
  expect(await pair.send({ 0: 5, 1: 5 })).toHaveLength(2)
  expect(sorted(pair.log)).toEqual(ONCE_EACH)
})

test('a partition that moves to a broker that has answered already is sent there', async () => {
  const pair = new Pair()
  const move = async () => {
    await turn()
    pair.leaders.set(0, B)
  }
  pair.faults.write = once(fail(createErrorFromCode(NOT_LEADER)), (_node: number, partition: number) => partition === 0)
  pair.faults.answer = once(move, (nodeId: number) => nodeId === A)
  expect(await pair.send({ 0: 5, 1: 5 })).toHaveLength(2)
  expect(sorted(pair.log)).toEqual(ONCE_EACH)
})

test('a partition that the metadata leaves out for a while is sent when it is back', async () => {
  const pair = new Pair()
  pair.leaders.delete(0)
  pair.faults.refresh = () => pair.leaders.set(0, A)
  expect(await pair.send({ 0: 5, 1: 5 })).toHaveLength(2)
  expect(sorted(pair.log)).toEqual(ONCE_EACH)
})

test('a partition that never gets a leader fails the send', async () => {
  const pair = new Pair()
  pair.leaders.delete(0)
  await expect(pair.send({ 0: 5, 1: 5 })).rejects.toThrow(/partition 0 of topic scores: the metadata has no leader/)
})

test('records whose answer was lost keep their sequence, on the next leader too', async () => {
  const pair = new Pair()
  const lose = () => {
    pair.leaders.set(0, B)
    throw new KafkaJSConnectionClosedError('Closed connection', { host: 'a', port: 9092 })
  }
  pair.faults.answer = once(lose, (nodeId: number) => nodeId === A)
  await pair.send({ 0: 5, 1: 5 })
  expect(sorted(pair.log)).toEqual(ONCE_EACH)
})

test('what a broker refuses for good is told, even if another only has to be asked again', async () => {
  const pair = new Pair()
  pair.faults.add = once(fail(createErrorFromCode(CONCURRENT_TRANSACTIONS)), (of: readonly number[]) => of.includes(0))
  pair.faults.write = once(fail(createErrorFromCode(TOPIC_AUTHORIZATION_FAILED)))
  await expect(pair.send({ 0: 5, 1: 5 })).rejects.toMatchObject({ type: 'TOPIC_AUTHORIZATION_FAILED' })
})
