// How much the brokers have of topics on their disks: DescribeLogDirs, a request that the client library does not know. It goes
// through the library's own connections, so with whatever they are secured by.
import type { Kafka } from './library.ts'

/** The parts of the library that are used here, and not in its types. */
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  findBroker(of: {
    nodeId: number | string
  }): Promise<{ connectionPool: { send(protocol: unknown): Promise<TopicSize[]> } }>
  readonly brokerPool: {
    refreshMetadata(topics: readonly string[]): Promise<void>
    readonly metadata: { readonly brokers: readonly { nodeId: number }[] }
  }
}

interface TopicSize {
  readonly topic: string
  readonly bytes: bigint
}

const DESCRIBE_LOG_DIRS = 35
const VERSION = 1

/** Bytes of each topic, all replicas and log directories together. */
export async function logSizes(kafka: Kafka, topics: readonly string[]): Promise<Map<string, bigint>> {
  const cluster = clusterOf(kafka)
  await cluster.connect()
  try {
    await cluster.brokerPool.refreshMetadata(topics)
    const answers = await Promise.all(
      cluster.brokerPool.metadata.brokers.map(async ({ nodeId }) =>
        (await cluster.findBroker({ nodeId })).connectionPool.send(describeLogDirs()),
      ),
    )
    const sizes = new Map(topics.map((topic) => [topic, 0n]))
    for (const { topic, bytes } of answers.flat()) {
      const known = sizes.get(topic)
      if (known !== undefined) sizes.set(topic, known + bytes)
    }
    return sizes
  } finally {
    await cluster.disconnect()
  }
}

function clusterOf(kafka: Kafka): Cluster {
  const create = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  if (!create) throw new TypeError('this version of kafkajs makes its clusters in another way')
  return (kafka as unknown as Record<symbol, (options: object) => Cluster>)[create]?.({}) as Cluster
}

/** A request and its answer, in the shape of the library's own. */
function describeLogDirs() {
  return {
    request: {
      apiKey: DESCRIBE_LOG_DIRS,
      apiVersion: VERSION,
      apiName: 'DescribeLogDirs',
      // A null array of topics asks for all.
      encode: async () => ({ buffer: Buffer.from([0xff, 0xff, 0xff, 0xff]) }),
    },
    response: { decode: async (bytes: Buffer) => readLogDirs(bytes), parse: async (sizes: TopicSize[]) => sizes },
  }
}

/** Version 1: throttle time, then error, directory and topics of each log directory. */
export function readLogDirs(bytes: Buffer): TopicSize[] {
  let at = 4
  const int32 = (): number => {
    at += 4
    return bytes.readInt32BE(at - 4)
  }
  const text = (): string => {
    const length = bytes.readInt16BE(at)
    at += 2 + length
    return bytes.toString('utf8', at - length, at)
  }
  const sizes: TopicSize[] = []
  for (let dirs = int32(); dirs > 0; dirs--) {
    at += 2
    text()
    for (let topics = int32(); topics > 0; topics--) {
      const topic = text()
      let sum = 0n
      for (let partitions = int32(); partitions > 0; partitions--) {
        sum += bytes.readBigInt64BE(at + 4)
        // Partition, size, offset lag, and whether it is a future replica.
        at += 4 + 8 + 8 + 1
      }
      sizes.push({ topic, bytes: sum })
    }
  }
  return sizes
}
