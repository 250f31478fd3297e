// What a sink makes of lanes that are durable already: one that it takes over without anything left to read of it, and one that is
// scored a second time.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { openConnectors } from '../../connectors/index.ts'
import { readConfig } from '../../src/config.ts'
import { sinkJob } from '../../src/job/sink-job.ts'
import { Activity } from '../../src/kafka/activity.ts'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { LedgerWriter } from '../../src/kafka/ledger.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { openProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { Views } from '../../src/kafka/views.ts'
import type { ProcessContext } from '../../src/process.ts'
import { startSink } from '../../src/sink/sink.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { BARE_OUTPUT, type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { scoredHeaders, scoredTopics } from '../../topics/scored.ts'
import { batchOf } from '../connectors/batches.ts'
import { connectorSettings } from '../connectors/settings.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { until } from '../harness/until.ts'
import { PLAN, running } from '../job/snapshots.ts'

const warned = vi.fn<(message: string) => void>()
let context: ProcessContext

beforeEach(async () => {
  const root = await mkdtemp(join(tmpdir(), 'scoreline-sink-'))
  const config = readConfig({ KAFKA_BROKERS: kafkaBrokers(), KAFKA_TOPIC_PREFIX: freshPrefix('sink') })
  const log = pino({ level: 'warn' }, { write: (line) => warned(JSON.parse(line).msg) })
  const { topicPrefix, sessionTimeoutMs } = config
  const client = createKafkaClient({ brokers: [kafkaBrokers()], topicPrefix, sessionTimeoutMs }, 'sink-test', log)
  await ensureTopics(client, -1)
  const onFatal = vi.fn<(error: Error) => void>()
  const producer = await openProducer(client)
  const connectors = openConnectors(connectorSettings({ outputRoots: [`file://${root}/`] }))
  const views = await Views.open(client, ['jobs', 'progress'], onFatal)
  const ledger = new LedgerWriter(producer, (jobId) => views.isFinished(jobId), onFatal)
  const activity = new Activity()
  context = { config, log, workerId: 'sink-2', client, producer, ledger, activity, views, connectors, onFatal }
  warned.mockClear()
  onTestFinished(async () => {
    await ledger.close()
    await Promise.all([views.close(), producer.close(), connectors.close()])
    await rm(root, { recursive: true, force: true })
    expect(onFatal).not.toHaveBeenCalled()
  })
})

const output = { ...BARE_OUTPUT, destination: 'parquet', path: 'scores', mode: 'overwrite' } as const
const JOB = running({ outputs: [output], lanes: [0, 1] })

/** Tells the sink of the job, before it looks for records. */
async function tellOf(job: JobSnapshot): Promise<void> {
  const { producer, views } = context
  const partition = controlPartition(job.tenant_id)
  await producer.send([{ topic: jobsTopic, partition, key: job.job_id, value: jobCodec.encode(job) }])
  await until(() => views.jobs.get(job.job_id)?.status === job.status, { what: 'the job to be known' })
}

test('what is durable is told again', async () => {
  // The sink that died: lane 0 is durable to its end, lane 1 is not.
  const sink = context.connectors.sinkFor('parquet')
  await sink?.prepare(sinkJob(JOB, 0))
  for (const lane of JOB.lanes) {
    const writer = await sink?.openLane(sinkJob(JOB, 0), lane)
    await writer?.write([{ seq: 0, batch: batchOf(PLAN.output_columns[0] ?? [], [[1n], [2n]]), failed: [] }])
    if (lane === 0) await writer?.end()
    await writer?.close()
  }
  await tellOf(JOB)

  const successor = await startSink(context)
  const { views } = context
  const told = await until(() => views.progressOf(JOB.job_id).get('sink/0:0'), { what: 'lane 0 to be told of' })
  expect(told).toMatchObject({ done: true, rows: 2n, chunks: 1n, attempt: 1, worker_id: 'sink-2' })
  await successor.drain()
  expect([...views.progressOf(JOB.job_id).keys()]).toEqual(['sink/0:0'])
})

test('a copy of a lane’s end, of a job whose result is being made visible, is passed over', async () => {
  await tellOf({ ...JOB, status: 'completing' })
  const { producer, client, views } = context
  const header = { type: 'end', jobId: JOB.job_id, attempt: JOB.attempt, seq: 1, chunks: 1, rows: 2 } as const
  const end = { topic: scoredTopics.files, partition: 0, value: Buffer.alloc(0) }
  await producer.send([{ ...end, headers: scoredHeaders(header, []) }])
  const sink = await startSink(context)
  const admin = client.kafka.admin()
  await admin.connect()
  onTestFinished(() => admin.disconnect())
  const groupId = client.name('sink.files')
  const topics = [client.topic(scoredTopics.files)]
  await until(
    async () => (await admin.fetchOffsets({ groupId, topics }))[0]?.partitions.some(({ offset }) => offset === '1'),
    { what: 'the record to be committed' },
  )
  await sink.drain()
  // Its staging is gone already, which is no failure of the job.
  expect(warned.mock.calls).toEqual([])
  expect([...views.progressOf(JOB.job_id).values()]).toEqual([])
})
