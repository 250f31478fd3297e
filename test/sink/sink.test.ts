// A sink that takes over a lane whose end is durable and committed, but not in the ledger: nothing will be read of it any more.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
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
import { startSink } from '../../src/sink/sink.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { BARE_OUTPUT, jobsTopic } from '../../topics/jobs.ts'
import { batchOf } from '../connectors/batches.ts'
import { connectorSettings } from '../connectors/settings.ts'
import { whenFileEnds } from '../harness/file-end.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { until } from '../harness/until.ts'
import { PLAN, running } from '../job/snapshots.ts'

test('what is durable is told again', async () => {
  const root = await mkdtemp(join(tmpdir(), 'scoreline-sink-'))
  whenFileEnds(() => rm(root, { recursive: true, force: true }))
  const config = readConfig({ KAFKA_BROKERS: kafkaBrokers(), KAFKA_TOPIC_PREFIX: freshPrefix('sink') })
  const log = pino({ level: 'silent' })
  const { topicPrefix, sessionTimeoutMs } = config
  const client = createKafkaClient({ brokers: [kafkaBrokers()], topicPrefix, sessionTimeoutMs }, 'sink-test', log)
  await ensureTopics(client, -1)
  const onFatal = vi.fn<(error: Error) => void>()
  const producer = await openProducer(client)
  const connectors = openConnectors(connectorSettings({ outputRoots: [`file://${root}/`] }))

  // The sink that died: lane 0 is durable to its end, lane 1 is not.
  const output = { ...BARE_OUTPUT, destination: 'parquet', path: 'scores', mode: 'overwrite' } as const
  const job = running({ outputs: [output], lanes: [0, 1] })
  const sink = connectors.sinkFor('parquet')
  await sink?.prepare(sinkJob(job, 0))
  for (const lane of job.lanes) {
    const writer = await sink?.openLane(sinkJob(job, 0), lane)
    await writer?.write([{ seq: 0, batch: batchOf(PLAN.output_columns[0] ?? [], [[1n], [2n]]), failed: [] }])
    if (lane === 0) await writer?.end()
    await writer?.close()
  }
  const partition = controlPartition(job.tenant_id)
  await producer.send([{ topic: jobsTopic, partition, key: job.job_id, value: jobCodec.encode(job) }])

  const views = await Views.open(client, ['jobs', 'progress'], onFatal)
  const ledger = new LedgerWriter(producer, onFatal)
  const activity = new Activity()
  const context = { config, log, workerId: 'sink-2', client, producer, ledger, activity, views, connectors, onFatal }
  const successor = await startSink(context)
  const told = await until(() => views.progressOf(job.job_id).get('sink/0:0'), { what: 'lane 0 to be told of' })
  expect(told).toMatchObject({ done: true, rows: 2n, chunks: 1n, attempt: 1, worker_id: 'sink-2' })
  await successor.drain()
  expect([...views.progressOf(job.job_id).keys()]).toEqual(['sink/0:0'])
  await ledger.close()
  await Promise.all([views.close(), producer.close(), connectors.close()])
  expect(onFatal).not.toHaveBeenCalled()
})
