// What the service may do with a topic: Metadata with the operations that its principal is authorized for, of which the client
// library knows only older versions. Source: KIP-430.
import { AnswerReader, type Broker, type Protocol, withBrokers } from './cluster.ts'
import type { Kafka } from './library.ts'

const METADATA = 3
/** Of Kafka 2.3; the first one that tells of authorizations. */
const VERSION = 8

/** Codes of `org.apache.kafka.common.acl.AclOperation`. */
const OPERATIONS = { read: 3, write: 4, describe: 8 } as const

export type TopicOperation = keyof typeof OPERATIONS

/**
 * The operations that are allowed on the topic; null where the broker cannot say: it is older than 2.3, or the topic is not
 * there. A cluster without an authorizer allows everything.
 */
export async function allowedOperations(kafka: Kafka, topic: string): Promise<ReadonlySet<TopicOperation> | null> {
  const bits = await withBrokers(kafka, async ([broker]) => (broker && tells(broker) ? ask(broker, topic) : null))
  if (bits === null) return null
  const names = Object.keys(OPERATIONS) as TopicOperation[]
  return new Set(names.filter((name) => bits & (1 << OPERATIONS[name])))
}

function tells({ versions }: Broker): boolean {
  return (versions[METADATA]?.maxVersion ?? 0) >= VERSION
}

async function ask({ connectionPool }: Broker, topic: string): Promise<number | null> {
  return connectionPool.send(metadata(topic))
}

function metadata(topic: string): Protocol<number | null> {
  return {
    request: {
      apiKey: METADATA,
      apiVersion: VERSION,
      apiName: 'Metadata',
      encode: async () => {
        const name = Buffer.from(topic)
        const head = Buffer.alloc(6)
        head.writeInt32BE(1)
        head.writeInt16BE(name.length, 4)
        // Create no topic; leave out what is allowed on the cluster, say what is on the topic.
        return { buffer: Buffer.concat([head, name, Buffer.from([0, 0, 1])]) }
      },
    },
    response: { decode: async (bytes) => readOperations(bytes), parse: async (bits) => bits },
  }
}

/** Of the one topic asked for, a bit for each operation. */
function readOperations(bytes: Buffer): number | null {
  const reader = new AnswerReader(bytes)
  reader.skip(4)
  reader.array(() => {
    reader.skip(4)
    reader.text()
    reader.skip(4)
    reader.text()
  })
  reader.text()
  reader.skip(4)
  const [topic] = reader.array(() => {
    const error = reader.int16()
    reader.text()
    reader.skip(1)
    reader.array(() => {
      // Error, partition, leader and its epoch; then replicas, in-sync and offline ones.
      reader.skip(2 + 4 + 4 + 4)
      for (let i = 0; i < 3; i++) reader.array(() => reader.int32())
    })
    const bits = reader.int32()
    return error === 0 ? bits : null
  })
  return topic ?? null
}
