// The reader on a real Kafka whose tail of job snapshots lags behind: a read task is public before the snapshot that it belongs to is
// known here, and must be read all the same.
import { randomUUID } from 'node:crypto'
import type { Consumer } from 'kafkajs'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openConnectors } from '../../connectors/index.ts'
import { readConfig } from '../../src/config.ts'
import { Activity } from '../../src/kafka/activity.ts'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { LedgerWriter } from '../../src/kafka/ledger.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { openProducer, type RecordProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { Views } from '../../src/kafka/views.ts'
import type { ProcessContext, RunningRole } from '../../src/process.ts'
import { startReader } from '../../src/reader/reader.ts'
import { chunksTopics, parseChunkHeaders } from '../../topics/chunks.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { readCodec, readsTopic } from '../../topics/reads.ts'
import { connectorSettings } from '../connectors/settings.ts'
import { freshDatabase, freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { until } from '../harness/until.ts'
import { running, submitted } from '../job/snapshots.ts'

const ROWS = 250
let client: KafkaClient
let producer: RecordProducer
let views: Views
let reader: RunningRole
/** The consumer that feeds the views. */
let tail: Consumer
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  const config = readConfig({ KAFKA_BROKERS: kafkaBrokers(), KAFKA_TOPIC_PREFIX: freshPrefix('reader') })
  const log = pino({ level: 'silent' })
  const { topicPrefix, sessionTimeoutMs } = config
  client = createKafkaClient({ brokers: [kafkaBrokers()], topicPrefix, sessionTimeoutMs }, 'reader-test', log)
  await ensureTopics(client, -1)
  const onFatal = vi.fn<(error: Error) => void>()
  producer = await openProducer(client)
  const made = vi.spyOn(client.kafka, 'consumer')
  views = await Views.open(client, ['jobs', 'progress'], onFatal)
  tail = made.mock.results[0]?.value
  made.mockRestore()
  const connectors = openConnectors(connectorSettings({ connections: { warehouse: await freshDatabase('reader') } }))
  const ledger = new LedgerWriter(producer, (jobId) => views.isFinished(jobId), onFatal)
  const context: ProcessContext = {
    config,
    log,
    workerId: 'reader-1',
    client,
    producer,
    ledger,
    activity: new Activity(),
    views,
    connectors,
    onFatal,
  }
  reader = await startReader(context)
  closing.push(
    () => reader.drain(),
    () => ledger.close(),
    () => Promise.all([views.close(), producer.close(), connectors.close()]),
    async () => expect(onFatal).not.toHaveBeenCalled(),
  )
})

afterAll(async () => {
  for (const close of closing) await close()
})

function snapshotRecord(job: JobSnapshot) {
  return { topic: jobsTopic, partition: controlPartition(job.tenant_id), key: job.job_id, value: jobCodec.encode(job) }
}

function taskRecord({ job_id, tenant_id, attempt }: JobSnapshot) {
  const value = readCodec.encode({ job_id, tenant_id, attempt })
  return { topic: readsTopic, partition: controlPartition(tenant_id), key: job_id, value }
}

/** Stops the flow of snapshots into the views. */
async function holdTail(): Promise<() => void> {
  const topics = [{ topic: client.topic(jobsTopic) }]
  tail.pause(topics)
  // What was being fetched at that moment may still come.
  let fetches = 0
  const stop = tail.on(tail.events.FETCH, () => {
    fetches++
  })
  await until(() => fetches >= 2, { what: 'the fetch under way to end' })
  stop()
  return () => tail.resume(topics)
}

/** Whether the reader is done with the only task. */
async function taskIsCommitted(): Promise<boolean> {
  const admin = client.kafka.admin()
  await admin.connect()
  const [group] = await admin.fetchOffsets({ groupId: client.name('reader'), topics: [client.topic(readsTopic)] })
  await admin.disconnect()
  return group?.partitions.some(({ offset }) => Number(offset) > 0) ?? false
}

/** The rows of the job's chunks, and its lanes that have ended, as they come. */
async function followChunks(job: JobSnapshot): Promise<{ rows: number; ended: Set<number> }> {
  const seen = { rows: 0, ended: new Set<number>() }
  const consumer = client.kafka.consumer({ groupId: client.name(randomUUID()), maxWaitTimeInMs: 100 })
  closing.unshift(() => consumer.disconnect())
  await consumer.connect()
  await consumer.subscribe({ topics: [client.topic(chunksTopics.cpu)], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      const header = parseChunkHeaders(message.headers ?? {})
      if (header.jobId !== job.job_id || header.attempt !== job.attempt) return
      if (header.type === 'end') seen.ended.add(partition)
      else seen.rows += header.rows
    },
  })
  return seen
}

test('a read task that comes before the snapshot of its attempt is read', async () => {
  const waiting = submitted({
    input: {
      source: 'sql',
      query: `SELECT customer_id FROM generate_series(1::bigint, ${ROWS}) AS customer_id`,
      connection: 'warehouse',
      key_column: null,
    },
  })
  const job = running({ input: waiting.input })
  await producer.send([snapshotRecord(waiting)])
  await until(() => views.jobs.get(job.job_id)?.attempt === 0)

  const release = await holdTail()
  const caughtUp = vi.spyOn(views, 'caughtUp')
  await producer.send([snapshotRecord(job), taskRecord(job)])
  // The reader has the task and waits for the snapshot; or it has dropped the task, and the rows will be missed below.
  await until(async () => caughtUp.mock.calls.length > 0 || (await taskIsCommitted()))
  expect(views.jobs.get(job.job_id)?.attempt).toBe(0)
  release()

  const seen = await followChunks(job)
  await until(() => seen.ended.size === job.lanes.length, { what: 'every lane to end' })
  expect(seen.rows).toBe(ROWS)
})
