// Makes the topics be there: creates what is missing, and refuses to start on topics that were declared otherwise.
import type { Admin } from 'kafkajs'
import { ConfigResourceTypes } from '../../connectors/kafka/kafkajs/library.ts'
import { TOPICS } from '../../topics/index.ts'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'

/** How long brokers may take to elect leaders for new topics. */
const READY_MS = 30_000

/** Creates missing topics and throws an `Error` that names every difference between the others and `topics/`. */
export async function ensureTopics(client: KafkaClient, replicationFactor: number): Promise<void> {
  const admin = client.kafka.admin()
  await admin.connect()
  try {
    const existing = new Set(await admin.listTopics())
    const missing = TOPICS.filter((spec) => !existing.has(client.topic(spec)))
    if (missing.length) {
      await createTopics(admin, client, missing, replicationFactor)
      await whenReady(
        admin,
        missing.map((spec) => client.topic(spec)),
      )
    }
    const present = TOPICS.filter((spec) => existing.has(client.topic(spec)))
    const drift = present.length ? await findDrift(admin, client, present) : []
    if (drift.length)
      throw new Error(
        `topics differ from what this version declares; change or delete them, or use another KAFKA_TOPIC_PREFIX:\n${drift.map((line) => `  ${line}`).join('\n')}`,
      )
  } finally {
    await admin.disconnect()
  }
}

async function createTopics(
  admin: Admin,
  client: KafkaClient,
  specs: readonly TopicSpec[],
  replicationFactor: number,
): Promise<void> {
  // False when another process was faster: just as good.
  await admin.createTopics({
    waitForLeaders: false,
    topics: specs.map((spec) => ({
      topic: client.topic(spec),
      numPartitions: spec.partitions,
      replicationFactor,
      configEntries: Object.entries({ 'cleanup.policy': spec.cleanup, ...spec.config }).map(([name, value]) => ({
        name,
        value,
      })),
    })),
  })
}

/**
 * Waits until every topic has its leaders, so that the first produce does not fail. The brokers learn of a new topic one by
 * one; kafkajs' own wait gives up when one that it asks has not heard of it yet.
 */
async function whenReady(admin: Admin, names: readonly string[]): Promise<void> {
  const deadline = Date.now() + READY_MS
  for (;;) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [...names] })
      if (topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)))
        return
    } catch (error) {
      if (!(error as { retriable?: boolean }).retriable || Date.now() > deadline) throw error
    }
    if (Date.now() > deadline)
      throw new Error(`new topics have no leaders after ${READY_MS / 1000} s; are the brokers up?`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function findDrift(admin: Admin, client: KafkaClient, specs: readonly TopicSpec[]): Promise<string[]> {
  const names = specs.map((spec) => client.topic(spec))
  const [{ topics }, { resources }] = await Promise.all([
    admin.fetchTopicMetadata({ topics: names }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: specs.map((spec) => ({
        type: ConfigResourceTypes.TOPIC,
        name: client.topic(spec),
        configNames: ['cleanup.policy'],
      })),
    }),
  ])
  const partitions = new Map(topics.map((topic) => [topic.name, topic.partitions.length]))
  const cleanup = new Map(resources.map((resource) => [resource.resourceName, resource.configEntries[0]?.configValue]))
  return specs.flatMap((spec) => {
    const name = client.topic(spec)
    return [
      ...(partitions.get(name) === spec.partitions
        ? []
        : [`${name}: expected ${spec.partitions} partitions, found ${partitions.get(name)}`]),
      ...(cleanup.get(name) === spec.cleanup
        ? []
        : [`${name}: expected cleanup.policy ${spec.cleanup}, found ${cleanup.get(name)}`]),
    ]
  })
}
