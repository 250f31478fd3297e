// The local servers: data outlives a restart, a taken port is explained, and nothing outlives the program that started them.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type EmbeddedKafka, startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { type EmbeddedPostgres, startPostgres } from '../../embedded/postgres.ts'
import { createTopics } from '../harness/topics.ts'
import { until } from '../harness/until.ts'

let kafkaDir: string
let postgresDir: string

beforeAll(async () => {
  kafkaDir = await mkdtemp(join(tmpdir(), 'scoreline-embedded-kafka-'))
  postgresDir = await mkdtemp(join(tmpdir(), 'scoreline-embedded-postgres-'))
})

afterAll(async () => {
  await rm(kafkaDir, { recursive: true, force: true })
  await rm(postgresDir, { recursive: true, force: true })
})

test('Kafka keeps topics, records and committed offsets over a restart, on another port as well', async () => {
  const first = await kafkaServer()
  await withAdmin(first.brokers, async (admin, kafka) => {
    await createTopics(admin, [{ topic: 'kept', numPartitions: 2 }])
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({ topic: 'kept', messages: [{ value: 'a', partition: 1 }] })
    await producer.disconnect()
    await admin.setOffsets({ groupId: 'readers', topic: 'kept', partitions: [{ partition: 1, offset: '1' }] })
  })
  await first.stop()

  const second = await kafkaServer()
  await withAdmin(second.brokers, async (admin) => {
    expect(await admin.fetchTopicOffsets('kept')).toContainEqual({ partition: 1, offset: '1', high: '1', low: '0' })
    // For a moment after a start the group coordinator is still loading, which the client reports as an error.
    const [committed] = await until(() => admin.fetchOffsets({ groupId: 'readers', topics: ['kept'] }))
    expect(committed?.partitions.find(({ partition }) => partition === 1)?.offset).toBe('1')
  })
  await second.stop()
})

test('a topic that nobody created is not created by using it', async () => {
  const server = await kafkaServer()
  await withAdmin(server.brokers, async (admin, kafka) => {
    const producer = kafka.producer({ allowAutoTopicCreation: true, retry: { retries: 0 } })
    await producer.connect()
    await expect(producer.send({ topic: 'nobody-made-me', messages: [{ value: 'a' }] })).rejects.toThrow()
    await producer.disconnect()
    expect(await admin.listTopics()).not.toContain('nobody-made-me')
  })
  await server.stop()
})

test('Postgres keeps its databases over a restart, also after a stop by kill -9', async () => {
  const port = await freePort()
  const first = await postgresServer(port)
  await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS value')
  await first.stop()

  const second = await postgresServer(port)
  await query(second.url, 'INSERT INTO kept VALUES (8)')
  process.kill(second.pid, 'SIGKILL')
  expect(await second.exited).toEqual({ code: null, signal: 'SIGKILL' })

  const third = await postgresServer(port)
  expect(await query(third.url, 'SELECT value FROM kept ORDER BY value')).toEqual([{ value: 7 }, { value: 8 }])
  expect(await query(third.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
  await third.stop()
})

test('a taken port is refused with what to do about it', async () => {
  const port = await freePort()
  const occupant = createServer().listen(port, '127.0.0.1')
  await once(occupant, 'listening')
  await expect(startKafka({ port, dataDir: kafkaDir })).rejects.toThrow(
    `The embedded Kafka needs port ${port} on 127.0.0.1, but something else listens there. Set KAFKA_PORT`,
  )
  await expect(startPostgres({ port, dataDir: postgresDir })).rejects.toMatchObject({
    code: 'port_taken',
    message: expect.stringContaining('set DATABASE_URL'),
  })
  occupant.close()
})

test('a data directory that another program uses is refused, and that program is named', async () => {
  const first = await postgresServer(await freePort())
  await expect(startPostgres({ port: await freePort(), dataDir: postgresDir })).rejects.toMatchObject({
    code: 'data_dir_in_use',
    message: expect.stringContaining(`process ${process.pid} runs a Postgres on it`),
  })
  await first.stop()
})

test('when the program is killed hard, both servers end, and both start again at once on the same data', async () => {
  const { program, pids } = await startProgram()
  expect(pids.every(isAlive)).toBe(true)
  program.kill('SIGKILL')
  // At once: the first servers may still be stopping, and the second start has to wait for them by itself.
  const again = await startProgram()
  expect(pids.some(isAlive)).toBe(false)
  again.program.kill('SIGKILL')
  await until(() => !again.pids.some(isAlive), { what: 'both servers are gone' })
})

test('Ctrl-C in the terminal reaches the program only, and the servers end with it', async () => {
  const { program, pids } = await startProgram()
  // What a terminal does: SIGINT to the whole foreground process group. The program has no handler and dies of it.
  process.kill(-(program.pid ?? 0), 'SIGINT')
  const [, signal] = await once(program, 'exit')
  expect(signal).toBe('SIGINT')
  await until(() => !pids.some(isAlive), { what: 'both servers are gone' })
})

async function kafkaServer(): Promise<EmbeddedKafka> {
  const server = await startKafka({ port: await freePort(), dataDir: kafkaDir })
  onTestFinished(() => server.stop())
  return server
}

async function postgresServer(port: number): Promise<EmbeddedPostgres> {
  const server = await startPostgres({ port, dataDir: postgresDir })
  onTestFinished(() => server.stop())
  return server
}

async function startProgram(): Promise<{ program: ChildProcess; pids: number[] }> {
  const program = spawn(process.execPath, [join(import.meta.dirname, '../harness/parent.ts'), kafkaDir, postgresDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  onTestFinished(() => {
    program.kill('SIGKILL')
  })
  for await (const line of createInterface({ input: program.stdout })) {
    return { program, pids: (JSON.parse(line) as { pids: number[] }).pids }
  }
  throw new Error('The program ended before its servers were up')
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

type Admin = ReturnType<Kafka['admin']>

async function withAdmin(brokers: string, work: (admin: Admin, kafka: Kafka) => Promise<void>): Promise<void> {
  const kafka = new Kafka({ clientId: 'embedded-test', brokers: [brokers], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  try {
    await work(admin, kafka)
  } finally {
    await admin.disconnect()
  }
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
