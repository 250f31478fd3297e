// The sink contract on the destination `kafka`: a topic of JSON records, read back by librdkafka as anyone reads committed records.
import { afterEach, beforeAll, expect, test } from 'vitest'
import type { Sink } from '../../../connectors/connector.ts'
import { createKafkaSink } from '../../../connectors/kafka/sink.ts'
import type { JobOutput } from '../../../topics/jobs.ts'
import { type KafkaLine, kafkaLine } from '../../harness/kafka-line.ts'
import { freshPrefix, kafkaBrokers } from '../../harness/servers.ts'
import { connectorSettings } from '../settings.ts'
import { type SeenRow, sinkContract } from '../sink-contract.ts'
import { createScoredTopic, createTopic, freshTopic, kafkaClient, kafkaOutput } from './jobs.ts'
import { type TopicReader, topicReader } from './reader.ts'

const prefix = freshPrefix('kafka-contract')
let reader: TopicReader
const lines: KafkaLine[] = []

beforeAll(async () => {
  await createScoredTopic(prefix)
  reader = await topicReader()
  return () => reader.close()
})

afterEach(async () => {
  await Promise.all(lines.splice(0).map((line) => line.close()))
})

/** JavaScript's numbers, but integers that they cannot hold as bigint. */
function parseRow(text: string): SeenRow {
  return JSON.parse(text, (_, value: unknown, { source }: { source?: string } = {}) =>
    typeof value === 'number' && /^-?\d+$/.test(source ?? '') && !Number.isSafeInteger(value)
      ? BigInt(source as string)
      : value,
  ) as SeenRow
}

function openSink(brokers = kafkaBrokers()): Sink {
  return createKafkaSink(connectorSettings({ kafka: { brokers: [brokers], topicPrefix: prefix, registryUrl: null } }))
}

async function lineOf(steps?: number): Promise<KafkaLine> {
  const line = await kafkaLine(kafkaBrokers(), steps)
  lines.push(line)
  return line
}

/** What a killed process leaves: its client goes on trying for a while, and nobody hears from it. */
function mortal(sink: Sink, killed: Promise<void>): Sink {
  const dead = killed.then(() => {
    throw new Error('killed')
  })
  dead.catch(() => {})
  const alive = <T>(work: Promise<T>): Promise<T> => Promise.race([dead, work])
  return {
    ...sink,
    prepare: (job) => alive(sink.prepare(job)),
    finalise: (job, rows) => alive(sink.finalise(job, rows)),
    discard: (job) => alive(sink.discard(job)),
    openLane: async (job, lane) => {
      const writer = await alive(sink.openLane(job, lane))
      return {
        get position() {
          return writer.position
        },
        write: (chunks) => alive(writer.write(chunks)),
        end: () => alive(writer.end()),
        close: () => Promise.race([killed, writer.close()]),
      }
    },
  }
}

const topicOf = ({ topic }: JobOutput) => topic as string

sinkContract('kafka', {
  visibility: 'as-written',
  modes: ['append'],
  chunkRows: 10,
  scheduleRuns: 8,
  expires: 'nothing',
  openSink: () => openSink(),
  freshOutput: (mode) => kafkaOutput(freshTopic(), { mode }),
  read: async (output) => (await reader.values(topicOf(output)))?.map(parseRow) ?? null,
  // Positions stay on purpose, until Kafka forgets them. What may not stay is a transaction that holds consumers back.
  leftovers: async ({ output }) =>
    ((await reader.heldBack(topicOf(output))) ?? []).map((partition) => `open transaction in partition ${partition}`),
  spell: ({ kind }, seen) => {
    if (seen === null) return null
    if (kind === 'json' || kind === 'jsonb') return JSON.stringify(seen)
    return kind === 'binary' ? Buffer.from(String(seen), 'base64').toString('hex') : seen
  },
  seenAsNull: ({ kind }, value) => (kind === 'json' || kind === 'jsonb') && value === 'null',
  crashEvery: 6,
  dyingSink: async (step) => {
    const line = await lineOf(step)
    let dead = false
    line.usedUp.then(() => {
      dead = true
    })
    return { sink: mortal(openSink(line.brokers), line.usedUp), died: () => dead }
  },
  failing: {
    'a broker that hangs up and cannot be reached': async (mode) => {
      const line = await lineOf()
      return {
        sink: openSink(line.brokers),
        output: kafkaOutput(freshTopic(), { mode }),
        fail: async () => line.cut(),
        mend: async () => line.mend(),
      }
    },
  },
  ruin: async ({ topic }) => {
    const admin = kafkaClient().admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic as string] })
    await admin.disconnect()
  },
})

test('a transaction that is left open would be seen by the suite', async () => {
  const topic = freshTopic()
  await createTopic({ topic, numPartitions: 1 })
  const producer = kafkaClient().producer({ transactionalId: topic })
  await producer.connect()
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: '{}' }] })
  expect(await reader.heldBack(topic)).toEqual([0])
  expect(await reader.values(topic)).toEqual([])
  await transaction.abort()
  await producer.disconnect()
})
