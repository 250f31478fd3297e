// What is left to score in a job's lanes, by the offsets that the scorers' group has committed on a real broker.
import pino from 'pino'
import { expect, test } from 'vitest'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { drainedLanes, scorerGroup } from '../../src/kafka/drained-lanes.ts'
import { logEnds } from '../../src/kafka/log-ends.ts'
import { openProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { openTransactionalWriter } from '../../src/kafka/transactions.ts'
import { chunksTopics } from '../../topics/chunks.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'

test('a lane is drained when all of it is committed, but for the marker of a transaction', async () => {
  const client = createKafkaClient(
    { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('drained'), sessionTimeoutMs: 6000 },
    'test',
    pino({ level: 'silent' }),
  )
  await ensureTopics(client, -1)
  const record = (partition: number) => ({ topic: chunksTopics.cpu, partition, value: Buffer.from('chunk') })
  const producer = await openProducer(client)
  await producer.send([record(1), record(1), record(1), record(3), record(3), record(3)])
  await producer.close()
  const writer = await openTransactionalWriter(client, 'reader.batch-1')
  await writer.write([record(2), record(2)], null)
  await writer.close()
  const admin = client.kafka.admin()
  await admin.connect()
  // A new topic's first send may be repeated by the client: what is there counts, not what was sent.
  const ends = await logEnds(admin, client.topic(chunksTopics.cpu))
  const endOf = (lane: number) => Number(ends.find(({ partition }) => partition === lane)?.high)
  const partitions = [
    { partition: 1, offset: String(endOf(1)) },
    // Its marker may not be written yet.
    { partition: 2, offset: '2' },
    { partition: 3, offset: String(endOf(3) - 2) },
  ]
  await admin.setOffsets({
    groupId: client.name(scorerGroup('cpu')),
    topic: client.topic(chunksTopics.cpu),
    partitions,
  })
  await admin.disconnect()
  expect(await drainedLanes(client, { pool: 'cpu', lanes: [1, 2, 3] })).toEqual([1, 2])
  expect(await drainedLanes(client, { pool: 'cpu', lanes: [3] })).toEqual([])
})
