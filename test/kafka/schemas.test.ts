// Processes of two versions beside each other, on a real broker: the older one meets records of a schema that it has never
// heard of, and looks it up in schemas.v1.
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { LogReader } from '../../src/kafka/log-reader.ts'
import { openProducer, type RecordProducer } from '../../src/kafka/producer.ts'
import { publishSchemas } from '../../src/kafka/schemas.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { Views } from '../../src/kafka/views.ts'
import { avroCodec } from '../../topics/avro.ts'
import { CODECS } from '../../topics/index.ts'
import { jobCodec, jobSchema } from '../../topics/job-codec.ts'
import { type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { schemasTopic } from '../../topics/schemas.ts'
import { freshPrefix, kafkaBrokers } from '../harness/servers.ts'
import { submitted } from '../job/snapshots.ts'

let client: KafkaClient
let producer: RecordProducer
let views: Views
const fatal: Error[] = []
const died = Promise.withResolvers<void>()

/** What the next version might write. */
type NextSnapshot = JobSnapshot & { region: string }
const nextCodec = avroCodec<NextSnapshot>({
  ...jobSchema,
  fields: [{ name: 'region', type: 'string', default: '' }, ...jobSchema.fields],
} as never)

beforeAll(async () => {
  client = createKafkaClient(
    { brokers: [kafkaBrokers()], topicPrefix: freshPrefix('schemas'), sessionTimeoutMs: 6000 },
    'test',
    pino({ level: 'silent' }),
  )
  await ensureTopics(client, -1)
  producer = await openProducer(client)
  views = await Views.open(client, ['jobs'], (error) => {
    fatal.push(error)
    died.resolve()
  })
})

afterAll(() => Promise.all([views.close(), producer.close()]))

test('every schema that is written with can be looked up', async () => {
  await publishSchemas(producer)
  const found = new Map<string, unknown>()
  const log = new LogReader(client, schemasTopic)
  await log.read(0, { offset: 0n }, ({ key, value }) => {
    found.set(String(key), JSON.parse(value.toString()))
    return true
  })
  await log.close()
  for (const { codec } of CODECS) expect(found.get(codec.fingerprint)).toEqual(codec.schema)
})

test('a process that runs reads the records of a newer one, between its own', async () => {
  const own = submitted({ job_id: 'batch-own' })
  const next = submitted({ job_id: 'batch-next', tenant_id: 'globex' })
  const said = (schema: string) => ({
    topic: schemasTopic,
    partition: 0,
    key: nextCodec.fingerprint,
    value: Buffer.from(schema),
  })
  // What is not the schema that its key says is passed over, also when it comes later.
  await producer.send([said(JSON.stringify(nextCodec.schema)), said(JSON.stringify(jobCodec.schema)), said('{"type"')])
  await producer.send([
    { topic: jobsTopic, partition: 0, key: 'batch-next', value: nextCodec.encode({ ...next, region: 'eu' }) },
    { topic: jobsTopic, partition: 0, key: 'batch-own', value: jobCodec.encode(own) },
  ])
  await views.caughtUp()
  expect(views.jobs.get('batch-next')).toEqual(next)
  expect(views.jobs.get('batch-own')).toEqual(own)
  expect(fatal).toEqual([])
})

// Last: it ends the process.
test('a record whose schema nobody said ends the process, with what to do', async () => {
  const silent = avroCodec<JobSnapshot>({ ...jobSchema, name: 'Unsaid' } as never)
  const value = silent.encode(submitted())
  await producer.send([{ topic: jobsTopic, partition: 1, key: 'batch-unsaid', value }])
  await died.promise
  expect(fatal[0]?.message).toContain(`got one of ${silent.fingerprint}`)
})
