// A consumer group whose member runs one async function for each partition it owns. Every role's main loop is such a
// function. Offsets are committed by hand; a rebalance ends the functions and starts new ones from what was committed.
import type { Consumer, KafkaMessage } from 'kafkajs'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'
import { coPartitionAssigner } from './co-partition-assigner.ts'
import { Lane, type LaneFeed, type LaneRecord } from './lane.ts'
import { type LaneOwners, laneOwners, type Orphans } from './lane-owners.ts'
import { whileLeaderless } from './log-ends.ts'

/**
 * While so many bytes are queued in this process, the next fetch waits (for no longer than the limit): fetches then bring
 * several chunks at once. Asking again after each chunk cost more than scoring it (measured: half of a scorer's time); with
 * less than a megabyte in hand, a scorer runs out of chunks before the next fetch is there.
 */
const ENOUGH_BYTES = 1024 * 1024
const ENOUGH_WAIT_MS = 50

/**
 * A minute for a broker that restarts, looked for every two seconds. A consumer's own default are five tries, about five seconds: a
 * commit that was under way when the broker went ended the process, where the restart took longer.
 */
const PATIENCE = { retries: 32, maxRetryTime: 2_000 }

export interface LaneConsumer {
  /** Partitions owned now, over all topics. */
  owned(): number[]
  /** Lets every lane finish and commit what it has in hand, then leaves the group. */
  drain(): Promise<void>
}

export interface LaneConsumerOptions {
  /** Group name without the prefix. */
  readonly group: string
  readonly topics: readonly TopicSpec[]
  /** The client's id, if lanes are to know whether their last owner died (`lane.doubtfulBefore`). */
  readonly owner?: string
  /** Runs while a partition is owned; returns soon after `lane.next()` gave null. An error is fatal. */
  readonly onLane: (lane: Lane) => Promise<void>
  readonly onFatal: (error: Error) => void
}

export async function consumeLanes(client: KafkaClient, options: LaneConsumerOptions): Promise<LaneConsumer> {
  const { kafka, log } = client
  const groupId = client.name(options.group)
  const admin = kafka.admin()
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: client.sessionTimeoutMs,
    rebalanceTimeout: client.sessionTimeoutMs,
    heartbeatInterval: Math.floor(client.sessionTimeoutMs / 4),
    partitionAssigners: [coPartitionAssigner],
    // A paused partition is asked for again only with the next fetch, so a fetch must not wait long for others.
    maxWaitTimeInMs: 100,
    maxBytesPerPartition: 1024 * 1024,
    retry: PATIENCE,
  })
  const lanes = new Map<string, { lane: Lane; finished: Promise<void> }>()
  const owners = options.owner === undefined ? null : laneOwners(consumer, admin, groupId, options.owner)
  let draining = false

  function start(topic: string, partition: number, taken: Promise<Orphans>, after: Promise<void>): void {
    const feed = feedOf(consumer, admin, groupId, topic, partition, options.owner)
    const lane = new Lane(topic, partition, feed)
    const finished = Promise.all([taken, after])
      .then(([orphans]) => {
        lane.doubtfulBefore = orphans.get(partition) ?? 0n
        return options.onLane(lane)
      })
      .catch((error: Error) => {
        // What fails after the partition was taken away is the new owner's to repeat.
        if (lane.revoked.aborted) log.info({ topic, partition, err: error }, 'lane ended after it was revoked')
        else options.onFatal(error)
      })
    lanes.set(laneKey(topic, partition), { lane, finished })
  }

  function queued(): number {
    let bytes = 0
    for (const { lane } of lanes.values()) bytes += lane.queuedBytes
    return bytes
  }

  function revokeAll(): void {
    for (const { lane } of lanes.values()) lane.revoke()
  }

  consumer.on(consumer.events.REBALANCING, revokeAll)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revokeAll()
    const before = new Map(lanes)
    lanes.clear()
    if (draining) return
    for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
      const taken = owners && partitions.length ? owners.take(topic, partitions) : Promise.resolve(NO_ORPHANS)
      for (const partition of partitions)
        start(topic, partition, taken, before.get(laneKey(topic, partition))?.finished ?? Promise.resolve())
    }
    log.info({ group: options.group, partitions: [...lanes.keys()].length }, 'partitions assigned')
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    revokeAll()
    if (!payload.restart) options.onFatal(payload.error)
  })

  await Promise.all([admin.connect(), consumer.connect()])
  await consumer.subscribe({ topics: options.topics.map(client.topic), fromBeginning: true })
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve())
  })
  await consumer.run({
    autoCommit: false,
    // All batches of a fetch are handed over together, and wait together.
    partitionsConsumedConcurrently: options.topics.reduce((sum, topic) => sum + topic.partitions, 0),
    eachBatch: async ({ batch, isStale }) => {
      if (isStale()) return
      const lane = lanes.get(laneKey(batch.topic, batch.partition))?.lane
      lane?.push(batch.messages.map(toRecord))
      if (queued() > ENOUGH_BYTES) await Promise.race([lane?.hungry(), pause(ENOUGH_WAIT_MS)])
    },
  })
  await joined

  return {
    owned: () => [...new Set([...lanes.values()].map(({ lane }) => lane.partition))].sort((a, b) => a - b),
    drain: async () => {
      draining = true
      for (const { lane } of lanes.values()) lane.drain()
      await Promise.all([...lanes.values()].map(({ finished }) => finished))
      if (owners)
        await release(
          owners,
          [...lanes.values()].map(({ lane }) => lane),
          client,
        )
      await Promise.all([consumer.disconnect(), admin.disconnect()])
    },
  }
}

const NO_ORPHANS: Orphans = new Map()

/** Says that these lanes were left in order. If that fails, a new owner is only more careful than it has to be. */
async function release(owners: LaneOwners, lanes: readonly Lane[], { log }: KafkaClient): Promise<void> {
  const kept = Map.groupBy(
    lanes.filter((lane) => !lane.revoked.aborted),
    (lane) => lane.topic,
  )
  for (const [topic, mine] of kept) {
    await owners
      .release(
        topic,
        mine.map(({ partition }) => partition),
      )
      .catch((error: Error) => log.info({ topic, err: error }, 'lanes were not released'))
  }
}

function feedOf(
  consumer: Consumer,
  admin: ReturnType<KafkaClient['kafka']['admin']>,
  groupId: string,
  topic: string,
  partition: number,
  owner: string | undefined,
): LaneFeed {
  return {
    pause: () => consumer.pause([{ topic, partitions: [partition] }]),
    resume: () => consumer.resume([{ topic, partitions: [partition] }]),
    seek: (offset) => consumer.seek({ topic, partition, offset: String(offset) }),
    commit: (offset) =>
      consumer.commitOffsets([{ topic, partition, offset: String(offset), ...(owner ? { metadata: owner } : {}) }]),
    committed: async () => {
      const [entry] = await whileLeaderless(() => admin.fetchOffsets({ groupId, topics: [topic] }))
      const offset = entry?.partitions.find((candidate) => candidate.partition === partition)?.offset
      return offset === undefined || offset === '-1' ? null : BigInt(offset)
    },
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function laneKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

function toRecord(message: KafkaMessage): LaneRecord {
  return { offset: BigInt(message.offset), key: message.key, value: message.value, headers: message.headers ?? {} }
}
