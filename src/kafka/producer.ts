// Producing outside transactions. Every send is acks=all and awaited by its caller, which keeps one send in flight for
// each lane: that, not the producer, is what keeps a lane in order. A retry may repeat a record; the sink drops it.
import type { Producer } from 'kafkajs'
import type { TopicSpec } from '../../topics/topic.ts'
import { inBatches } from './batches.ts'
import type { KafkaClient } from './client.ts'

/** A record to produce, always to an explicit partition. */
export interface OutgoingRecord {
  readonly topic: TopicSpec
  readonly partition: number
  readonly key?: string
  readonly value: Buffer | null
  readonly headers?: Record<string, string>
}

export interface RecordProducer {
  /**
   * Resolves when every record is replicated; records of one partition keep their order. More than a broker takes at once goes in
   * pieces, one after the other: when it rejects, some may have been written.
   */
  send(records: readonly OutgoingRecord[]): Promise<void>
  close(): Promise<void>
}

export async function openProducer(client: KafkaClient): Promise<RecordProducer> {
  const producer = client.kafka.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  return {
    send: async (records) => {
      for (const batch of inBatches(records))
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(client, batch) })
    },
    close: () => producer.disconnect(),
  }
}

/** Records as kafkajs wants them. */
export function byTopic(
  client: KafkaClient,
  records: readonly OutgoingRecord[],
): NonNullable<Parameters<Producer['sendBatch']>[0]['topicMessages']> {
  const topics = Map.groupBy(records, (record) => client.topic(record.topic))
  return [...topics].map(([topic, group]) => ({
    topic,
    messages: group.map(({ partition, key, value, headers }) => ({
      partition,
      value,
      ...(key === undefined ? {} : { key }),
      ...(headers ? { headers } : {}),
    })),
  }))
}
