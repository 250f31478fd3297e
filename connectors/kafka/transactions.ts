// A transactional producer with a fixed id. Opening one fences whoever had the id before, and waits until the transaction
// that it left open has ended.
import type { Kafka, Message, Offsets } from 'kafkajs'
import { typeOf } from './client.ts'
import type { EncodedMessages } from './kafkajs/encoded-messages.ts'

/** The records of one request. */
export interface Send {
  readonly topic: string
  readonly messages: EncodedMessages
}

/** Offsets that a transaction commits, with the group that they belong to. */
export type TransactionOffsets = Offsets & { readonly consumerGroupId: string }

export interface Transactions {
  /**
   * Sends requests one after the other and offsets last, in one transaction. After any error the outcome may be unknown:
   * close it, and open the id again.
   */
  run(sends: Iterable<Send>, offsets: TransactionOffsets): Promise<void>
  close(): Promise<void>
}

/** A sink that dies inside a transaction holds consumers of the topic back until its successor fences it, or this long. */
const TRANSACTION_MS = 15_000

export async function openTransactions(kafka: Kafka, transactionalId: string): Promise<Transactions> {
  const producer = kafka.producer({
    transactionalId,
    transactionTimeout: TRANSACTION_MS,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    // Until the previous commit's markers are written the broker answers CONCURRENT_TRANSACTIONS: milliseconds, for which the
    // client's default of 300 ms is far too long.
    retry: { initialRetryTime: 3, factor: 0.2, multiplier: 1.5, retries: 25, maxRetryTime: 2_000 },
  })
  try {
    await producer.connect()
    // The client fences with its first transaction only; an empty one never reaches the broker.
    await (await producer.transaction()).abort()
  } catch (error) {
    await producer.disconnect().catch(() => {})
    throw error
  }
  return {
    run: async (sends, offsets) => {
      const transaction = await producer.transaction()
      try {
        // The client's types do not know of records that are encoded already.
        for (const { topic, messages } of sends)
          await transaction.send({ topic, messages: messages as unknown as Message[], acks: -1 })
        await onceMarked(() => transaction.sendOffsets(offsets))
        await transaction.commit()
      } catch (error) {
        // Best effort: whoever opens the id next aborts it as well.
        if (transaction.isActive()) await transaction.abort().catch(() => {})
        throw error
      }
    },
    close: () => producer.disconnect().catch(() => {}),
  }
}

/** How long the markers of the previous commit may take to be written; on a starved broker that is seconds. */
const MARKED_MS = 10_000

/** The client waits CONCURRENT_TRANSACTIONS out when it adds records, but not when offsets are all there is. */
async function onceMarked(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + MARKED_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (typeOf(error) !== 'CONCURRENT_TRANSACTIONS' || Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
