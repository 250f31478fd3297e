// What a process makes of the control topics' records, on a real broker.
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { jobFilter } from '../../src/api/jobs/job-filter.ts'
import { LiveJobs } from '../../src/api/jobs/live-jobs.ts'
import { cancelJob } from '../../src/api/jobs/submission.ts'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { openProducer, type RecordProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { Views } from '../../src/kafka/views.ts'
import { untilOver } from '../../src/kafka/wanted.ts'
import type { ProcessContext } from '../../src/process.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { running, submitted } from '../job/snapshots.ts'

const settings = { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('views'), sessionTimeoutMs: 6000 }
let producer: RecordProducer
let views: Views
let live: LiveJobs

beforeAll(async () => {
  const client = createKafkaClient(settings, 'test', pino({ level: 'silent' }))
  await ensureTopics(client, -1)
  producer = await openProducer(client)
  views = await Views.open(client, ['jobs'], (error) => {
    throw error
  })
  live = new LiveJobs(views)
})

afterAll(() => Promise.all([views.close(), producer.close()]))

async function write(...jobs: JobSnapshot[]): Promise<void> {
  const records = jobs.map((job) => ({
    topic: jobsTopic,
    partition: 0,
    key: job.job_id,
    value: jobCodec.encode(job),
  }))
  await producer.send(records)
  await views.caughtUp()
}

test('a tombstone is told with what was last known of the job, once', async () => {
  const gone: JobSnapshot[] = []
  views.changes.on('jobGone', (job) => gone.push(job))
  const [first, second] = [submitted({ job_id: 'batch-a' }), submitted({ job_id: 'batch-b' })]
  await write(first, second)
  expect(live.status(second).queue_position).toBe(2)
  const tombstone = { topic: jobsTopic, partition: 0, key: first.job_id, value: null }
  await producer.send([tombstone, tombstone])
  await views.caughtUp()
  expect(gone).toEqual([first])
  expect(live.status(second).queue_position).toBe(1)
  const listed = live.list(second.tenant_id, jobFilter({}), null, 10).entries
  expect(listed.map(({ job_id }) => job_id)).toEqual(['batch-b'])
})

test('work for a job ends when the job is gone', async () => {
  const job = running({ job_id: 'batch-c' })
  await write(job)
  const before = views.changes.listenerCount('jobGone')
  await untilOver(views, job, async (over) => {
    expect(over.aborted).toBe(false)
    const aborted = new Promise((resolve) => over.addEventListener('abort', resolve, { once: true }))
    await producer.send([{ topic: jobsTopic, partition: 0, key: job.job_id, value: null }])
    await aborted
  })
  expect(views.changes.listenerCount('jobGone')).toBe(before)
})

test('a command that cannot be sent leaves nobody listening', async () => {
  const job = running({ job_id: 'batch-d' })
  await write(job)
  const client = createKafkaClient(settings, 'test', pino({ level: 'silent' }))
  const closed = await openProducer(client)
  await closed.close()
  const before = views.changes.listenerCount('job')
  const context = { views, producer: closed, config: { commandKeys: {} } } as unknown as ProcessContext
  await expect(cancelJob(job, context)).rejects.toThrow(/disconnected/)
  expect(views.changes.listenerCount('job')).toBe(before)
})
