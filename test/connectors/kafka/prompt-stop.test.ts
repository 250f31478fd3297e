// A consumer on a real broker that is stopped while its fetch waits for records.
import pino from 'pino'
import { expect, test } from 'vitest'
import { createKafkaClient } from '../../../src/kafka/client.ts'
import { openProducer } from '../../../src/kafka/producer.ts'
import { ensureTopics } from '../../../src/kafka/topic-admin.ts'
import { deadLettersTopic } from '../../../topics/dead-letters.ts'
import { freshPrefix, kafkaBrokers } from '../../harness/servers.ts'

/** Of one fetch. The test has half of that. */
const WAIT_MS = 25_000

test('leaves its group and disconnects at once, with what it has in hand taken in', {
  timeout: WAIT_MS / 2,
}, async () => {
  const warnings: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => warnings.push(line) })
  const settings = { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('prompt-stop'), sessionTimeoutMs: 30_000 }
  const client = createKafkaClient(settings, 'test', log)
  await ensureTopics(client, -1)
  const groupId = client.name('stopped')
  const consumer = client.kafka.consumer({ groupId, maxWaitTimeInMs: WAIT_MS })
  const { promise: inHand, resolve: taken } = Promise.withResolvers<void>()
  const { promise: done, resolve: finish } = Promise.withResolvers<void>()
  const seen: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topics: [client.topic(deadLettersTopic)], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      taken()
      await done
      seen.push(String(message.value))
    },
  })
  const producer = await openProducer(client)
  await producer.send([{ topic: deadLettersTopic, partition: 2, value: Buffer.from('a') }])
  await inHand
  const stopping = consumer.stop()
  finish()
  await stopping
  expect(new Set(seen)).toEqual(new Set(['a']))

  // Once more, with nothing to come.
  const again = client.kafka.consumer({ groupId, maxWaitTimeInMs: WAIT_MS })
  const fetching = new Promise<void>((resolve) => {
    again.on(again.events.GROUP_JOIN, () => again.on(again.events.FETCH_START, () => resolve()))
  })
  await again.connect()
  await again.subscribe({ topics: [client.topic(deadLettersTopic)], fromBeginning: false })
  await again.run({ autoCommit: false, eachMessage: async () => {} })
  await fetching
  await again.disconnect()
  await consumer.disconnect()
  const admin = client.kafka.admin()
  await admin.connect()
  expect((await admin.describeGroups([groupId])).groups.map(({ state }) => state)).toEqual(['Empty'])
  await admin.disconnect()
  await producer.close()
  expect(warnings).toEqual([])
})
