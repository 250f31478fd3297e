// The target topic: may the service write to a topic of this name, is it there, and if not, may it be made.
import type { Admin } from 'kafkajs'
import { TOPICS } from '../../topics/index.ts'
import { LANES } from '../../topics/topic.ts'
import { ConnectorError, type Problem } from '../connector.ts'
import { connectorError, type KafkaConnection, typeOf } from './client.ts'
import { ConfigResourceTypes } from './kafkajs/library.ts'
import { allowedOperations } from './kafkajs/permissions.ts'

const TOPIC = '/output/topic'

export interface TopicFacts {
  readonly partitions: number
  /** Whether `cleanup.policy` has `compact`; false also when the service may not see it. */
  readonly compacted: boolean
}

/** What is wrong with the name itself. `prefix` is that of the service's own topics. */
export function topicNameProblem(topic: string | null, prefix: string): Problem | null {
  const problem = (code: string, detail: string): Problem => ({ code, pointer: TOPIC, detail })
  // Source: org.apache.kafka.common.internals.Topic.validate.
  if (topic === null || !/^[a-zA-Z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..') {
    const detail = `expected 1 to 249 of the characters a-z, A-Z, 0-9, ".", "_" and "-" (and not "." or ".."), got ${JSON.stringify(topic)}`
    return problem('topic_invalid', detail)
  }
  if (topic.startsWith('__')) {
    return problem(
      'topic_internal',
      `${topic} would be an internal topic of Kafka's: choose a name without __ in front`,
    )
  }
  const own = prefix === '' ? TOPICS.some(({ name }) => name === topic) : topic.startsWith(prefix)
  if (own) {
    const detail = `${topic} is one of the service's own topics${prefix === '' ? '' : ` (all that begin with ${prefix})`}: choose another name`
    return problem('topic_reserved', detail)
  }
  return null
}

/** What the topic is; null when it is not there. */
export function describeTopic(connection: KafkaConnection, topic: string): Promise<TopicFacts | null> {
  return connection.withAdmin('topic_unreadable', async (admin) => {
    if (!(await admin.listTopics()).includes(topic)) return null
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return { partitions: topics[0]?.partitions.length ?? 0, compacted: await isCompacted(admin, topic) }
  })
}

async function isCompacted(admin: Admin, topic: string): Promise<boolean> {
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['cleanup.policy'] }],
    })
    return resources[0]?.configEntries[0]?.configValue.includes('compact') ?? false
  } catch (error) {
    if (typeOf(error).endsWith('AUTHORIZATION_FAILED')) return false
    throw error
  }
}

/** Why the service may not write to a topic that is there; null if it may, or where the cluster does not tell. */
export async function writeProblem({ kafka }: KafkaConnection, topic: string): Promise<Problem | null> {
  const allowed = await allowedOperations(kafka, topic).catch((error) => {
    throw connectorError(error, 'topic_unreadable')
  })
  // To commit how far a job has come in the topic is to Kafka a matter of reading it.
  const missing = allowed && (['write', 'read'] as const).find((operation) => !allowed.has(operation))
  return missing ? notPermitted(`the service may not ${missing === 'write' ? 'write to' : 'read'} ${topic}`) : null
}

function notPermitted(what: string): Problem {
  const detail = `${what}: have its Kafka principal granted Read and Write on the topic, or choose another one`
  return { code: 'permission_denied', pointer: TOPIC, detail }
}

/** Why a topic that is not there cannot be made, in the broker's words; null if it can. Changes nothing. */
export async function missingTopicProblem(connection: KafkaConnection, topic: string): Promise<Problem | null> {
  try {
    return await connection.withAdmin('topic_not_found', async (admin) => {
      const isNew = await admin.createTopics({ ...newTopic(topic), waitForLeaders: false, validateOnly: true })
      // Unless somebody has made it just now, it is there for others only.
      if (isNew || (await admin.listTopics()).includes(topic)) return null
      return notPermitted(`the topic ${topic} exists, but the service may not see it`)
    })
  } catch (error) {
    if (!(error instanceof ConnectorError) || error.retriable) throw error
    const detail = `${topic} does not exist, and the service cannot create it: ${error.message}. Create it first, or choose another topic`
    return { code: 'topic_not_found', pointer: TOPIC, detail }
  }
}

/** Makes the topic unless it is there, and resolves when each partition has its leader. */
export async function ensureTopic(connection: KafkaConnection, topic: string): Promise<void> {
  await connection.withAdmin('topic_not_found', async (admin) => {
    if ((await admin.listTopics()).includes(topic)) return
    // False when somebody else was faster: just as good.
    await admin.createTopics({ ...newTopic(topic), waitForLeaders: false })
    await whenReady(admin, topic)
  })
}

/**
 * As many partitions as a job may have lanes, so that it can be consumed as widely as it is written; the cluster's own
 * replication and retention. Who wants it otherwise creates the topic first.
 */
function newTopic(topic: string) {
  return { topics: [{ topic, numPartitions: LANES, replicationFactor: -1 }] }
}

/** How long brokers may take to elect leaders for a new topic. */
const READY_MS = 30_000

async function whenReady(admin: Admin, topic: string): Promise<void> {
  const deadline = Date.now() + READY_MS
  for (;;) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      const partitions = topics[0]?.partitions ?? []
      if (partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)) return
    } catch (error) {
      const failure = connectorError(error, 'topic_not_found')
      if (!(failure instanceof ConnectorError) || !failure.retriable || Date.now() > deadline) throw failure
    }
    if (Date.now() > deadline) {
      const message = `the new topic ${topic} has no leaders after ${READY_MS / 1000} s; are the brokers up?`
      throw new ConnectorError('kafka_unavailable', message, { retriable: true })
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
