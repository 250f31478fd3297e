// Makes the topics be there: creates what is missing, and refuses to start on topics that were declared otherwise.
import kafkajs, { type Admin } from 'kafkajs'
import { TOPICS } from '../../topics/index.ts'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'

/** Creates missing topics and throws an `Error` that names every difference between the others and `topics/`. */
export async function ensureTopics(client: KafkaClient, replicationFactor: number): Promise<void> {
  const admin = client.kafka.admin()
  await admin.connect()
  try {
    const existing = new Set(await admin.listTopics())
    const missing = TOPICS.filter((spec) => !existing.has(client.topic(spec)))
    if (missing.length) await createTopics(admin, client, missing, replicationFactor)
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
  // False when another process was faster: just as good. Waiting for leaders keeps the first produce from failing.
  await admin.createTopics({
    waitForLeaders: true,
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

async function findDrift(admin: Admin, client: KafkaClient, specs: readonly TopicSpec[]): Promise<string[]> {
  const names = specs.map((spec) => client.topic(spec))
  const [{ topics }, { resources }] = await Promise.all([
    admin.fetchTopicMetadata({ topics: names }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: specs.map((spec) => ({
        type: kafkajs.ConfigResourceTypes.TOPIC,
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
