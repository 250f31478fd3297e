// Takes the place of kafkajs' `producer/sendMessages`: brings messages to the leaders of their partitions, and tries again what
// failed. kafkajs remembers by broker what is done, and tries again while other brokers' requests are on their way: with two
// brokers or more it writes records twice, or never, and the transaction is committed. Here it is remembered by partition and
// after all requests have ended, and records keep their sequence number, by which a broker knows what it has already.
import type { Message } from 'kafkajs'
import { type EncodedMessages, type EncodedRecords, groupMessages, type Ungrouped } from './encoded-messages.ts'
import type { ProduceRequest } from './produce-request.ts'

/** What a broker says of a partition that it has written. */
export interface Answer {
  readonly topicName: string
  readonly partition: number
}

export interface Broker {
  readonly nodeId: number
  /** Rejects when the broker refuses a partition, without telling which; null with `acks` 0. */
  produce(request: ProduceRequest): Promise<{
    readonly topics: readonly { readonly topicName: string; readonly partitions: readonly { partition: number }[] }[]
  } | null>
}

/** What kafkajs gives its `producer/sendMessages`, as far as it is used here. */
export interface Client {
  readonly logger: { error(message: string, details: object): void }
  readonly cluster: {
    isConnected(): boolean
    connect(): Promise<void>
    addMultipleTargetTopics(topics: readonly string[]): Promise<void>
    refreshMetadata(): Promise<void>
    refreshMetadataIfNecessary(): Promise<void>
    findTopicPartitionMetadata(topic: string): readonly { partitionId: number; leader: number | null }[]
    findBroker(of: { nodeId: number }): Promise<Broker>
    removeBroker(at: object): void
  }
  readonly partitioner: Ungrouped['partitioner']
  readonly eosManager: {
    isTransactional(): boolean
    getTransactionalId(): string | undefined
    getProducerId(): ProduceRequest['producerId']
    getProducerEpoch(): number
    getSequence(topic: string, partition: number): number
    updateSequence(topic: string, partition: number, increment: number): void
    addPartitionsToTransaction(topicData: ProduceRequest['topicData']): Promise<void>
    acquireBrokerLock(broker: Broker): Promise<void>
    releaseBrokerLock(broker: Broker): void
  }
  /** Calls again what rejects with a retriable error, and gives up after `bail`. */
  readonly retrier: (attempt: Attempt) => Promise<readonly Answer[]>
}

type Attempt = (bail: (error: unknown) => void, retryCount: number, retryTime: number) => Promise<readonly Answer[]>

export interface Sent {
  readonly acks: number
  readonly timeout: number
  readonly compression?: number | undefined
  /** A topic comes once. */
  readonly topicMessages: readonly { readonly topic: string; readonly messages: EncodedMessages | readonly Message[] }[]
}

/** The messages of one partition. */
interface Batch {
  readonly topic: string
  readonly partition: number
  readonly messages: EncodedRecords | readonly Message[]
  /** Taken when it is sent first, and not given back when that fails: the broker may have the records under it. */
  firstSequence?: number
}

export function createSendMessages(client: Client): (sent: Sent) => Promise<readonly Answer[]> {
  const { cluster, retrier } = client
  return (sent) => {
    const answers: Answer[] = []
    let waiting: readonly Batch[] | undefined
    return retrier(async (bail, retryCount, retryTime) => {
      await cluster.addMultipleTargetTopics(sent.topicMessages.map(({ topic }) => topic))
      try {
        await cluster.refreshMetadataIfNecessary()
        // Only once: asked again, a partitioner may choose otherwise.
        waiting ??= batchesOf(sent, client)
        const requests = await byLeader(waiting, client)
        const results = await Promise.allSettled(
          requests.map(([broker, batches]) => produce(broker, batches, sent, client)),
        )
        answers.push(...results.flatMap((result) => (result.status === 'fulfilled' ? result.value : [])))
        waiting = waiting.filter(({ topic, partition }) => {
          return !answers.some((answer) => answer.topicName === topic && answer.partition === partition)
        })
        const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Failure] : []))
        // What cannot pass is told before what can.
        const failure = failures.find(({ retriable }) => !retriable) ?? failures[0]
        if (failure) throw failure
        if (waiting[0]) throw passing(waiting[0], 'the broker has not answered for it')
      } catch (error) {
        await recover(error as Failure, client, { retryCount, retryTime })
        if ((error as Failure).retriable) throw error
        bail(error)
      }
      return answers
    })
  }
}

function batchesOf({ topicMessages }: Sent, { cluster, partitioner }: Client): readonly Batch[] {
  return topicMessages.flatMap(({ topic, messages }) => {
    const partitionMetadata = cluster.findTopicPartitionMetadata(topic)
    if (partitionMetadata.length === 0) throw passing({ topic }, 'the metadata has no partitions of it')
    const grouped = groupMessages({ topic, partitionMetadata, messages, partitioner })
    return Object.entries(grouped).map(([partition, group]) => ({
      topic,
      partition: Number(partition),
      messages: group,
    }))
  })
}

async function byLeader(batches: readonly Batch[], { cluster }: Client): Promise<(readonly [Broker, Batch[]])[]> {
  const groups = Map.groupBy(batches, (batch) => {
    const known = cluster.findTopicPartitionMetadata(batch.topic).find((of) => of.partitionId === batch.partition)
    if (known?.leader === undefined || known.leader === null) throw passing(batch, 'the metadata has no leader of it')
    return known.leader
  })
  return Promise.all([...groups].map(async ([nodeId, group]) => [await cluster.findBroker({ nodeId }), group] as const))
}

async function produce(broker: Broker, batches: readonly Batch[], sent: Sent, client: Client): Promise<Answer[]> {
  const { acks, timeout, compression } = sent
  const { eosManager } = client
  await eosManager.acquireBrokerLock(broker)
  try {
    const transactional = eosManager.isTransactional()
    if (transactional) await eosManager.addPartitionsToTransaction(byTopic(batches))
    for (const batch of batches) batch.firstSequence ??= takeSequence(batch, client)
    const response = await broker.produce({
      transactionalId: transactional ? eosManager.getTransactionalId() : undefined,
      producerId: eosManager.getProducerId(),
      producerEpoch: eosManager.getProducerEpoch(),
      acks,
      timeout,
      compression,
      topicData: byTopic(batches),
    })
    if (acks === 0) return batches.map(({ topic, partition }) => ({ topicName: topic, partition }))
    return (response?.topics ?? []).flatMap(({ topicName, partitions }) => {
      return partitions.map((partition) => ({ topicName, ...partition }))
    })
  } finally {
    eosManager.releaseBrokerLock(broker)
  }
}

function takeSequence({ topic, partition, messages }: Batch, { eosManager }: Client): number {
  const sequence = eosManager.getSequence(topic, partition)
  eosManager.updateSequence(topic, partition, messages.length)
  return sequence
}

function byTopic(batches: readonly Batch[]): ProduceRequest['topicData'] {
  return [...Map.groupBy(batches, ({ topic }) => topic)].map(([topic, partitions]) => ({ topic, partitions }))
}

/** A failure as kafkajs has them. */
type Failure = Error & { readonly retriable?: boolean; readonly type?: string }

/** That passes with newer metadata. */
function passing({ topic, partition }: { topic: string; partition?: number }, why: string): Failure {
  const what = partition === undefined ? `topic ${topic}` : `partition ${partition} of topic ${topic}`
  return Object.assign(new Error(`Cannot send to ${what}: ${why}`), { retriable: true })
}

/** Prepares the next attempt, if there is one. */
async function recover(failure: Failure, { logger, cluster }: Client, details: object): Promise<void> {
  logger.error(`Failed to send messages: ${failure.message}`, details)
  // The markers of the producer's transaction before are not written: no other broker would know better.
  if (!failure.retriable || failure.type === 'CONCURRENT_TRANSACTIONS') return
  if (failure.name === 'KafkaJSConnectionClosedError') cluster.removeBroker(failure)
  if (!cluster.isConnected()) await cluster.connect()
  await cluster.refreshMetadata()
}
