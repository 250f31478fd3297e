// Producing outside transactions, on a real broker: as much as there is, also to a topic that takes no more than 1 MiB at once.
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { LogReader } from '../../src/kafka/log-reader.ts'
import { openProducer } from '../../src/kafka/producer.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { createTopics } from '../harness/topics.ts'

let client: KafkaClient
let log: LogReader

beforeAll(async () => {
  client = createKafkaClient(
    { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('producer'), sessionTimeoutMs: 6000 },
    'test',
    pino({ level: 'silent' }),
  )
  const admin = client.kafka.admin()
  await admin.connect()
  // As a build before this one made it, and every broker that nobody has set up.
  const configEntries = [{ name: 'max.message.bytes', value: '1048588' }]
  const topic = client.topic(deadLettersTopic)
  await createTopics(admin, [{ topic, numPartitions: 2, configEntries }])
  await admin.disconnect()
  log = new LogReader(client, deadLettersTopic)
})

afterAll(() => log.close())

test('the dead rows of a whole chunk, in one send', async () => {
  const letters = Array.from({ length: 2_000 }, (_, row) => ({
    topic: deadLettersTopic,
    partition: row % 10 === 0 ? 1 : 0,
    value: Buffer.from(`${row} ${'x'.repeat(2_000)}`),
  }))
  const producer = await openProducer(client)
  await producer.send(letters)
  await producer.close()
  for (const partition of [0, 1]) {
    const rows: number[] = []
    await log.read(partition, { offset: 0n }, ({ value }) => rows.push(Number.parseInt(value.toString(), 10)) > 0)
    const sent = letters.flatMap((letter, row) => (letter.partition === partition ? [row] : []))
    expect(rows).toEqual(sent)
  }
})
