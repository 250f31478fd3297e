// How much the brokers have of topics on their disks: DescribeLogDirs, a request that the client library does not know.
import { AnswerReader, type Protocol, withBrokers } from './cluster.ts'
import type { Kafka } from './library.ts'

interface TopicSize {
  readonly topic: string
  readonly bytes: bigint
}

const DESCRIBE_LOG_DIRS = 35
const VERSION = 1

/** Bytes of each topic, all replicas and log directories together. */
export async function logSizes(kafka: Kafka, topics: readonly string[]): Promise<Map<string, bigint>> {
  const answers = await withBrokers(kafka, (brokers) =>
    Promise.all(brokers.map(({ connectionPool }) => connectionPool.send(describeLogDirs()))),
  )
  const sizes = new Map(topics.map((topic) => [topic, 0n]))
  for (const { topic, bytes } of answers.flat()) {
    const known = sizes.get(topic)
    if (known !== undefined) sizes.set(topic, known + bytes)
  }
  return sizes
}

function describeLogDirs(): Protocol<TopicSize[]> {
  return {
    request: {
      apiKey: DESCRIBE_LOG_DIRS,
      apiVersion: VERSION,
      apiName: 'DescribeLogDirs',
      // A null array of topics asks for all.
      encode: async () => ({ buffer: Buffer.from([0xff, 0xff, 0xff, 0xff]) }),
    },
    response: { decode: async (bytes) => readLogDirs(bytes), parse: async (sizes) => sizes },
  }
}

/** Version 1: throttle time, then error, directory and topics of each log directory. */
function readLogDirs(bytes: Buffer): TopicSize[] {
  const reader = new AnswerReader(bytes)
  const partition = () => {
    reader.skip(4)
    const size = reader.int64()
    // Offset lag, and whether it is a future replica.
    reader.skip(8 + 1)
    return size
  }
  const topic = (): TopicSize => ({
    topic: reader.text(),
    bytes: reader.array(partition).reduce((sum, size) => sum + size, 0n),
  })
  const directory = () => {
    reader.skip(2)
    reader.text()
    return reader.array(topic)
  }
  reader.skip(4)
  return reader.array(directory).flat()
}
