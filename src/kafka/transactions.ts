// A transactional producer with a fixed id: opening it fences whoever held the id before, so of two owners of one
// partition only the newer can write.
import { inBatches } from './batches.ts'
import type { KafkaClient } from './client.ts'
import { byTopic, type OutgoingRecord } from './producer.ts'

/** The next offset to consume of a partition, committed together with the records. */
export interface ConsumedOffset {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export interface TransactionalWriter {
  /**
   * Writes records and consumed offsets in one transaction. After any error the writer must be closed: the outcome of
   * the transaction is then what a read of the log says.
   */
  write(records: readonly OutgoingRecord[], consumed: ConsumedOffset | null): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the writer of an id. When it resolves, nobody who had the id before can write any more, and what they had open
 * is committed or aborted for good, its markers written.
 */
export async function openTransactionalWriter(
  client: KafkaClient,
  transactionalId: string,
): Promise<TransactionalWriter> {
  const producer = client.kafka.producer({
    transactionalId: client.name(transactionalId),
    // A controller that dies inside a transaction holds readers back until its successor fences it, or this long.
    transactionTimeout: 15_000,
    maxInFlightRequests: 1,
    idempotent: true,
    allowAutoTopicCreation: false,
    // The broker answers CONCURRENT_TRANSACTIONS until the previous commit's markers are written, some milliseconds;
    // with kafkajs' 300 ms that makes 4 transactions a second, with 3 ms about 100.
    // In all that is patience for a broker that restarts: about a minute, as everywhere (client.ts).
    retry: { initialRetryTime: 3, factor: 0.2, multiplier: 1.5, retries: 45, maxRetryTime: 2_000 },
  })
  await producer.connect()
  // Connecting alone fences nobody: kafkajs asks for the id's epoch with its first transaction.
  await (await producer.transaction()).abort()
  return {
    write: async (records, consumed) => {
      const transaction = await producer.transaction()
      try {
        for (const batch of inBatches(records))
          await transaction.sendBatch({ acks: -1, topicMessages: byTopic(client, batch) })
        if (consumed) {
          const { groupId: consumerGroupId, topic, partition, offset } = consumed
          const topics = [{ topic, partitions: [{ partition, offset: String(offset) }] }]
          await onceMarked(() => transaction.sendOffsets({ consumerGroupId, topics }))
        }
        await transaction.commit()
      } catch (error) {
        // Best effort: the successor's fencing aborts it as well.
        if (transaction.isActive()) await transaction.abort().catch(() => {})
        throw error
      }
    },
    close: () => producer.disconnect(),
  }
}

/** How long the markers of the previous commit may take to be written; on a starved broker that is seconds. */
const MARKED_MS = 10_000

/**
 * kafkajs waits out CONCURRENT_TRANSACTIONS when it adds records to a transaction, but not when offsets are the first
 * thing in it (a command that changed nothing): then this does.
 */
async function onceMarked(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + MARKED_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if ((error as { type?: string }).type !== 'CONCURRENT_TRANSACTIONS' || Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
