// Reading a stretch of a log on a real broker, also after the reader's consumer could not join its group.
import pino from 'pino'
import { expect, test } from 'vitest'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { LogReader } from '../../src/kafka/log-reader.ts'
import { openProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'

test('a question that found no consumer fails, and the next one is answered', async () => {
  const sound = createKafkaClient(
    { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('log-reader'), sessionTimeoutMs: 6000 },
    'test',
    pino({ level: 'silent' }),
  )
  await ensureTopics(sound, -1)
  const producer = await openProducer(sound)
  const record = (text: string) => ({ topic: deadLettersTopic, partition: 2, value: Buffer.from(text) })
  await producer.send([record('a'), record('b')])
  await producer.close()
  // The broker refuses such a session, and no retry helps.
  const client = { ...sound, sessionTimeoutMs: 4 }
  const log = new LogReader(client, deadLettersTopic)
  const found: string[] = []
  const read = () =>
    log.read(2, { offset: 0n }, ({ value }) => {
      found.push(value.toString())
      return true
    })
  await expect(read()).rejects.toThrow(/session timeout/i)
  client.sessionTimeoutMs = sound.sessionTimeoutMs
  await read()
  // A new topic's first send may be repeated by the client.
  expect([...new Set(found)]).toEqual(['a', 'b'])
  await log.close()
})
