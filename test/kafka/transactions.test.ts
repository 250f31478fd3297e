// Who opens a transactional id ends, for good, what anybody did under it before: on a real broker.
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { LogReader } from '../../src/kafka/log-reader.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { openTransactionalWriter } from '../../src/kafka/transactions.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'

let client: KafkaClient
let log: LogReader

beforeAll(async () => {
  client = createKafkaClient(
    { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('fencing'), sessionTimeoutMs: 6000 },
    'test',
    pino({ level: 'silent' }),
  )
  await ensureTopics(client, -1)
  log = new LogReader(client, deadLettersTopic)
})

afterAll(() => log.close())

const record = (text: string, partition = 0) => ({ topic: deadLettersTopic, partition, value: Buffer.from(text) })

async function committed(partition: number): Promise<string[]> {
  const texts: string[] = []
  await log.read(partition, { offset: 0n }, ({ value }) => texts.push(value.toString()) > 0)
  return texts
}

test('opening is enough: the writer before can write no more, in no partition', async () => {
  const id = randomUUID()
  const before = await openTransactionalWriter(client, id)
  await before.write([record('before')], null)
  const after = await openTransactionalWriter(client, id)
  await expect(before.write([record('zombie')], null)).rejects.toThrow(/epoch|fenced/i)
  await expect(before.write([record('zombie', 1)], null)).rejects.toThrow()
  await after.write([record('after'), record('after', 1)], null)
  expect(await committed(0)).toEqual(['before', 'after'])
  expect(await committed(1)).toEqual(['after'])
  await Promise.all([before.close(), after.close()])
})

test('a transaction that was open when its writer was paused is aborted, and cannot be committed later', async () => {
  const id = randomUUID()
  const paused = client.kafka.producer({ transactionalId: client.name(id), idempotent: true, maxInFlightRequests: 1 })
  await paused.connect()
  const open = await paused.transaction()
  const topic = client.topic(deadLettersTopic)
  await open.send({ topic, messages: [{ partition: 2, value: 'in flight' }] })
  const after = await openTransactionalWriter(client, id)
  await expect(open.commit()).rejects.toThrow(/epoch|fenced|state/i)
  await after.write([record('after', 2)], null)
  expect(await committed(2)).toEqual(['after'])
  await Promise.all([paused.disconnect(), after.close()])
})
