// What goes through the client in place of messages when records are encoded already. On its way from `send` to the request
// the client does three things with messages: it looks for one without a value, sorts them by partition, and counts each
// partition's for its sequence number. So encoded records have just that: `find`, an order by partition, and `length`.
import type { Message } from 'kafkajs'

/** Records of one partition that become one batch; all that is left to write is the batch's header. */
export interface EncodedRecords {
  /** Number of records. */
  readonly length: number
  /** The records as they stand in a batch (magic 2), offset deltas from 0, timestamp deltas 0. */
  readonly bytes: Uint8Array
  /** Of every record, in milliseconds since 1970. */
  readonly timestamp: number
}

/** At most one batch for each partition, which is what a Produce request may hold. */
export class EncodedMessages {
  readonly byPartition: Readonly<Record<number, EncodedRecords>>

  constructor(byPartition: Readonly<Record<number, EncodedRecords>>) {
    this.byPartition = byPartition
  }

  /** None is without a value. */
  find(): undefined {
    return undefined
  }

  /** Called by kafkajs' own `producer/sendMessages`, if that is in place still. */
  reduce(): never {
    throw new Error(
      'kafkajs was loaded before its modules were replaced: import connectors/kafka/kafkajs/library.ts first',
    )
  }
}

/** Messages to a topic, and what says which partition each goes to. */
export interface Ungrouped {
  readonly topic: string
  readonly partitionMetadata: readonly object[]
  readonly messages: EncodedMessages | readonly Message[]
  readonly partitioner: (of: { topic: string; partitionMetadata: readonly object[]; message: Message }) => number
}

/** kafkajs' `producer/groupMessagesPerPartition` copies a partition's messages once for each message that it adds. */
export function groupMessages({
  topic,
  partitionMetadata,
  messages,
  partitioner,
}: Ungrouped): Readonly<Record<number, EncodedRecords | readonly Message[]>> {
  if (partitionMetadata.length === 0) return {}
  if (messages instanceof EncodedMessages) return messages.byPartition
  const grouped: Record<number, Message[]> = {}
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    const group = grouped[partition]
    if (group) group.push(message)
    else grouped[partition] = [message]
  }
  return grouped
}
