// A Kafka whose authorizer does not let the service do everything: a topic that it may not write to is refused when the job is
// submitted; a permission that is taken away later ends the job with that reason.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { Sink } from '../../../connectors/connector.ts'
import { Kafka, logLevel } from '../../../connectors/kafka/kafkajs/library.ts'
import { createKafkaSink } from '../../../connectors/kafka/sink.ts'
import { startKafka } from '../../../embedded/kafka.ts'
import { freePort } from '../../../embedded/ports.ts'
import { scoredTopics } from '../../../topics/scored.ts'
import { createTopics } from '../../harness/topics.ts'
import { until } from '../../harness/until.ts'
import { connectorSettings } from '../settings.ts'
import { AclOperationTypes, grant } from './acl.ts'
import { chunk, jobInput, kafkaJob, kafkaOutput, SCORES } from './jobs.ts'

let admin: ReturnType<Kafka['admin']>
let sink: Sink

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'scoreline-acl-'))
  const server = await startKafka({
    port: await freePort(),
    dataDir,
    settings: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // Only what an ACL tells of is closed to others: here everybody is User:ANONYMOUS, the broker too.
      'allow.everyone.if.no.acl.found': true,
    },
  })
  admin = new Kafka({ brokers: [server.brokers], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const topics = ['open', 'read-only', 'write-only', 'hidden', 'revoked', scoredTopics.kafka.name]
  await createTopics(
    admin,
    topics.map((topic) => ({ topic, numPartitions: 16 })),
  )
  sink = createKafkaSink(
    connectorSettings({ kafka: { brokers: [server.brokers], topicPrefix: '', registryUrl: null } }),
  )
  return async () => {
    await Promise.all([sink.close(), admin.disconnect()])
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
})

const check = (topic: string) => sink.check(kafkaOutput(topic), SCORES, jobInput())

/** What is wrong with the topic, once the broker has heard of what was granted: a moment after the controller has. */
const refused = (topic: string) =>
  until(async () => {
    const problems = await check(topic)
    return problems.length > 0 ? problems : null
  })

test('a topic that may be written to is fine', async () => {
  expect(await check('open')).toEqual([])
})

test('a topic that may be read but not written to is refused, with what to do', async () => {
  await grant(admin, 'read-only', 'ANONYMOUS', [AclOperationTypes.READ])
  expect(await refused('read-only')).toEqual([
    {
      code: 'permission_denied',
      pointer: '/output/topic',
      detail: expect.stringMatching(/may not write to read-only: have its Kafka principal granted Read and Write/),
    },
  ])
})

test('nor is one that may be written to only: how far a job has come could not be committed', async () => {
  await grant(admin, 'write-only', 'ANONYMOUS', [AclOperationTypes.WRITE])
  const [problem] = await refused('write-only')
  expect(problem).toMatchObject({ code: 'permission_denied', detail: expect.stringMatching(/may not read write-only/) })
})

test('a topic that the service may not even see is not taken for one that it can make', async () => {
  await grant(admin, 'hidden', 'somebody', [AclOperationTypes.READ])
  expect(await refused('hidden')).toEqual([
    {
      code: 'permission_denied',
      pointer: '/output/topic',
      detail: expect.stringMatching(
        /the topic hidden exists, but the service may not see it: have its Kafka principal/,
      ),
    },
  ])
})

test('a permission that is taken away while a job runs ends it with the reason', async () => {
  const job = kafkaJob('revoked', { lanes: [0] })
  await sink.prepare(job)
  const writer = await sink.openLane(job, 0)
  await writer.write([chunk(0, 0)])
  await grant(admin, 'revoked', 'ANONYMOUS', [AclOperationTypes.DESCRIBE])
  await refused('revoked')
  await expect(writer.write([chunk(0, 1)])).rejects.toMatchObject({ code: 'permission_denied', retriable: false })
  await writer.close()
})
