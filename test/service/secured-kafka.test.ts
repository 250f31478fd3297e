// The service at a Kafka that wants TLS, a login and permissions: with those that the README names, and no more, jobs run.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Kafka, logLevel } from '../../connectors/kafka/kafkajs/library.ts'
import { startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { AclOperationTypes, AclResourceTypes, grant } from '../connectors/kafka/acl.ts'
import { whenFileEnds } from '../harness/file-end.ts'
import { CHURN_FEATURES, churnJob, registerModel, run, seedCustomers } from '../harness/jobs.ts'
import { freshDatabase } from '../harness/servers.ts'
import { type Service, startService } from '../harness/service.ts'

const ROWS = 2_000
const TLS = join(import.meta.dirname, '../fixtures/tls')
const { READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS, DELETE } = AclOperationTypes
const { TOPIC, GROUP, TRANSACTIONAL_ID, CLUSTER } = AclResourceTypes
let service: Service
/** For the clients of the service. */
let brokers: string
/** As a super user, without TLS. */
let inside: Kafka

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'scoreline-secured-'))
  const keystore = join(folder, 'keystore.pem')
  await writeFile(
    keystore,
    ['localhost-key.pem', 'localhost.pem'].map((file) => readFileSync(join(TLS, file), 'utf8')).join(''),
  )
  const [port, insidePort, controllerPort] = [await freePort(), await freePort(), await freePort()]
  const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_scoreline="secret";'
  const server = await startKafka({
    port,
    dataDir: join(folder, 'kafka'),
    settings: {
      listeners: `CLIENT://127.0.0.1:${port},INSIDE://127.0.0.1:${insidePort},CONTROLLER://127.0.0.1:${controllerPort}`,
      'advertised.listeners': `CLIENT://localhost:${port},INSIDE://127.0.0.1:${insidePort}`,
      'listener.security.protocol.map': 'CLIENT:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'inter.broker.listener.name': 'INSIDE',
      'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': keystore,
      'sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.client.plain.sasl.jaas.config': login,
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
    },
  })
  whenFileEnds(async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  })
  brokers = `localhost:${port}`
  inside = new Kafka({ brokers: [`127.0.0.1:${insidePort}`], logLevel: logLevel.NOTHING })
})

const settings = (password: string) => ({
  KAFKA_SASL: JSON.stringify({ mechanism: 'plain', username: 'scoreline', password }),
  KAFKA_TLS: JSON.stringify({ ca: join(TLS, 'localhost.pem') }),
})

test('a login that the brokers refuse ends the process with a line that says so', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), 'reader'], {
    env: { ...process.env, KAFKA_BROKERS: brokers, DATABASE_URL: 'postgres://nobody', ...settings('wrong') },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (bytes) => {
    said += bytes
  })
  expect(await once(child, 'close')).toEqual([1, null])
  expect(said).toMatch(/^KAFKA_SASL: the brokers refuse the login: .*\n$/)
  expect(said).not.toContain('wrong')
})

test('with the permissions of the README a job writes a topic and a table; a topic without one is refused', async () => {
  const admin = inside.admin()
  await admin.connect()
  // Before the service is there: it takes its names from the prefix.
  await grant(admin, 'secured-', 'scoreline', [READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS], TOPIC)
  await grant(admin, 'secured-', 'scoreline', [READ, DESCRIBE, DELETE], GROUP)
  await grant(admin, 'secured-', 'scoreline', [WRITE, DESCRIBE], TRANSACTIONAL_ID)
  await grant(admin, 'kafka-cluster', 'scoreline', [DESCRIBE], CLUSTER)
  await grant(admin, 'predictions.', 'scoreline', [READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS], TOPIC)
  service = await startService({
    name: 'secured',
    settings: settings('secret'),
    servers: { brokers, databaseUrl: await freshDatabase('secured') },
  })
  expect(service.prefix).toMatch(/^secured-/)
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  await run(service, churnJob({ output: { destination: 'kafka', topic: 'predictions.churn', format: 'json' } }))
  const offsets = await admin.fetchTopicOffsets('predictions.churn')
  // A marker beside the rows in each partition that a transaction wrote to.
  expect(offsets.reduce((sum, { high }) => sum + Number(high), 0)).toBeGreaterThanOrEqual(ROWS)
  await run(service, churnJob())
  expect(await service.query('SELECT count(*)::int AS rows FROM predictions.churn_scores')).toEqual([{ rows: ROWS }])

  const { status, body } = await service.request('/api/v1/inference/batch', {
    body: churnJob({ output: { destination: 'kafka', topic: 'others.churn', format: 'json' } }),
  })
  expect([status, body.errors]).toMatchObject([400, [{ pointer: '/output/topic' }]])
  expect((await service.request('/api/v1/kafka/topics')).status).toBe(200)
  await admin.disconnect()
})
