// The sink contract on the destination `kafka`: a topic of JSON records, read back by librdkafka as anyone reads committed records.
import { beforeAll, expect, test } from 'vitest'
import { createKafkaSink } from '../../../connectors/kafka/sink.ts'
import type { JobOutput } from '../../../topics/jobs.ts'
import { freshPrefix, kafkaBrokers } from '../../harness/servers.ts'
import { connectorSettings } from '../settings.ts'
import { type SeenRow, sinkContract } from '../sink-contract.ts'
import { createScoredTopic, createTopic, freshTopic, kafkaClient, kafkaOutput } from './jobs.ts'
import { type TopicReader, topicReader } from './reader.ts'

const prefix = freshPrefix('kafka-contract')
let reader: TopicReader

beforeAll(async () => {
  await createScoredTopic(prefix)
  reader = await topicReader()
  return () => reader.close()
})

/** JavaScript's numbers, but integers that they cannot hold as bigint. */
function parseRow(text: string): SeenRow {
  return JSON.parse(text, (_, value: unknown, { source }: { source?: string } = {}) =>
    typeof value === 'number' && /^-?\d+$/.test(source ?? '') && !Number.isSafeInteger(value)
      ? BigInt(source as string)
      : value,
  ) as SeenRow
}

const topicOf = ({ topic }: JobOutput) => topic as string

sinkContract('kafka', {
  visibility: 'as-written',
  modes: ['append'],
  chunkRows: 10,
  scheduleRuns: 8,
  openSink: () =>
    createKafkaSink(
      connectorSettings({ kafka: { brokers: [kafkaBrokers()], topicPrefix: prefix, registryUrl: null } }),
    ),
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
