// Follows compacted topics from their start into memory: how every process knows jobs, progress, models and workers.
// A tail has a consumer group of its own and commits nothing.
import { randomUUID } from 'node:crypto'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'
import { logEnds } from './log-ends.ts'
import { withSchemas } from './schemas.ts'

export interface TailRecord {
  readonly key: string
  /** Null is a tombstone. */
  readonly value: Buffer | null
  readonly partition: number
  readonly offset: bigint
}

export interface TailedTopic {
  readonly spec: TopicSpec
  /** Called for each committed record, in the order of its partition. An error ends the process. */
  onRecord(record: TailRecord): void
}

export interface Tail {
  /**
   * Resolves once everything that was committed in the topics when it was called has been handed to `onRecord`. The last
   * transaction of a producer counts from when its markers are written, some milliseconds after the commit returned.
   */
  caughtUp(spec?: TopicSpec): Promise<void>
  close(): Promise<void>
}

/** Starts tailing and resolves when caught up for the first time. `onFatal` gets what ends the tail later. */
export async function startTail(
  client: KafkaClient,
  topics: readonly TailedTopic[],
  onFatal: (error: Error) => void,
): Promise<Tail> {
  const handlers = new Map(topics.map((topic) => [client.topic(topic.spec), topic.onRecord]))
  /** `topic/partition` → next offset to come. */
  const positions = new Map<string, bigint>()
  const waiting = new Set<() => void>()

  const admin = client.kafka.admin()
  const consumer = client.kafka.consumer({
    groupId: client.name(`tail.${randomUUID()}`),
    sessionTimeout: client.sessionTimeoutMs,
    heartbeatInterval: Math.floor(client.sessionTimeoutMs / 4),
    // A fetch names dozens of partitions, and most of the time nothing comes. Heartbeats go between fetches.
    maxWaitTimeInMs: Math.floor(client.sessionTimeoutMs / 4),
    readUncommitted: false,
  })
  // The end of a batch, and not the last record, tells the position: transaction markers occupy offsets too.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    const key = `${payload.topic}/${payload.partition}`
    const next = BigInt(payload.lastOffset) + 1n
    if (next > (positions.get(key) ?? 0n)) positions.set(key, next)
    for (const check of waiting) check()
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) onFatal(payload.error)
  })
  await Promise.all([admin.connect(), consumer.connect()])
  await consumer.subscribe({ topics: [...handlers.keys()], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      const onRecord = handlers.get(batch.topic)
      // A group that commits nothing begins again at the start when it has to rejoin (a pause longer than the session
      // timeout); what was seen must not be seen again, or the maps would go back in time.
      const seen = positions.get(`${batch.topic}/${batch.partition}`) ?? 0n
      for (const { key, value, offset } of batch.messages) {
        if (!key || BigInt(offset) < seen) continue
        const record = { key: key.toString(), value, partition: batch.partition, offset: BigInt(offset) }
        try {
          const handled = withSchemas(client, () => onRecord?.(record))
          if (handled instanceof Promise) await handled
        } catch (error) {
          // The client would hand the batch over again and again.
          onFatal(error as Error)
          throw error
        }
      }
    },
  })

  async function caughtUp(spec?: TopicSpec): Promise<void> {
    const names = spec ? [client.topic(spec)] : [...handlers.keys()]
    const ends = await Promise.all(
      names.map(async (name) =>
        (await logEnds(admin, name)).map((end) => ({ ...end, key: `${name}/${end.partition}` })),
      ),
    )
    const targets = ends.flat().filter((end) => end.high > end.low)
    const reached = () => targets.every((end) => (positions.get(end.key) ?? 0n) >= end.high)
    if (reached()) return
    await new Promise<void>((resolve) => {
      const check = () => {
        if (!reached()) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
    })
  }

  await caughtUp()
  return {
    caughtUp,
    close: async () => {
      await Promise.all([consumer.disconnect(), admin.disconnect()])
    },
  }
}
