// The sink on a real Kafka and a real registry, read back by librdkafka as anyone reads committed records.
import { beforeAll, describe, expect, test } from 'vitest'
import { LANE_START, type Sink, type SinkJob } from '../../../connectors/connector.ts'
import { createKafkaSink } from '../../../connectors/kafka/sink.ts'
import { openTransactions } from '../../../connectors/kafka/transactions.ts'
import type { Column } from '../../../topics/columns.ts'
import { startRegistry } from '../../harness/registry.ts'
import { freshPrefix, kafkaBrokers } from '../../harness/servers.ts'
import { batchOf, type Value } from '../../topics/vectors.ts'
import { connectorSettings } from '../settings.ts'
import {
  chunk,
  createScoredTopic,
  createTopic,
  freshTopic,
  idsOf,
  jobInput,
  kafkaClient,
  kafkaJob,
  kafkaOutput,
  SCORES,
} from './jobs.ts'
import { readTopic, type SeenRecord } from './reader.ts'

const prefix = freshPrefix('kafka-sink')
let registryUrl: string
let sink: Sink
/** Another process's. */
let other: Sink

function openSink(registry: string | null): Sink {
  return createKafkaSink(
    connectorSettings({ kafka: { brokers: [kafkaBrokers()], topicPrefix: prefix, registryUrl: registry } }),
  )
}

beforeAll(async () => {
  const [registry] = await Promise.all([startRegistry(), createScoredTopic(prefix)])
  registryUrl = registry.url
  sink = openSink(registryUrl)
  other = openSink(registryUrl)
  return async () => {
    await Promise.all([sink.close(), other.close()])
  }
})

async function writeLane(job: SinkJob, lane: number, chunks: number): Promise<void> {
  const writer = await sink.openLane(job, lane)
  for (let seq = writer.position.chunks; seq < chunks; seq++) await writer.write([chunk(lane, seq)])
  await writer.end()
  await writer.close()
}

/** Runs a whole job of `chunks` chunks of ten rows in each lane. */
async function run(job: SinkJob, chunks: number) {
  await sink.prepare(job)
  for (const lane of job.lanes) await writeLane(job, lane, chunks)
  return sink.finalise(job, BigInt(job.lanes.length * chunks * 10))
}

const ids = (records: readonly SeenRecord[]) =>
  records.map(({ value }) => Number(value.customer_id)).sort((a, b) => a - b)

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error) => error.code as string,
  )

describe('a job', () => {
  test('becomes one record for each row, keyed, with where it comes from', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic)
    expect(await run(job, 3)).toMatchObject({ rows: 60n, location: `kafka://${topic}` })
    const records = await readTopic(topic)
    expect(ids(records)).toEqual([...idsOf(0, 3), ...idsOf(3, 3)])
    for (const { key, value, headers } of records) {
      expect(key).toBe(String(value.customer_id))
      expect(headers).toEqual({ job_id: job.jobId, model: 'churn@2' })
    }
    expect(new Set(records.map(({ partition }) => partition)).size).toBeGreaterThan(8)
  })

  test('without a key column has no keys, and its chunks spread', async () => {
    const topic = freshTopic()
    await run(kafkaJob(topic, { keyColumn: null }), 3)
    const records = await readTopic(topic)
    expect(ids(records)).toEqual([...idsOf(0, 3), ...idsOf(3, 3)])
    expect(new Set(records.map(({ key }) => key))).toEqual(new Set([null]))
    const partitions = Map.groupBy(records, ({ value }) => Math.floor(Number(value.customer_id) / 1000))
    for (const chunkRecords of partitions.values())
      expect(new Set(chunkRecords.map(({ partition }) => partition)).size).toBe(1)
    expect(new Set(records.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2, 3, 4, 5]))
  })

  test('without a row is finished, and its topic is there', async () => {
    const topic = freshTopic()
    expect(await run(kafkaJob(topic), 0)).toMatchObject({ rows: 0n, bytes: 0n })
    expect(await readTopic(topic)).toEqual([])
  })

  test('whose rows all failed counts them', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { lanes: [1] })
    await sink.prepare(job)
    const writer = await sink.openLane(job, 1)
    await writer.write([chunk(1, 0, 0, 10), chunk(1, 1, 0, 5)])
    expect(await writer.end()).toMatchObject({ chunks: 2, rows: 0n, failedRows: 15n, done: true })
    await writer.close()
    const again = await sink.openLane(job, 1)
    expect(again.position).toEqual(writer.position)
    await again.close()
    expect(await sink.finalise(job, 0n)).toMatchObject({ rows: 0n })
  })

  test('larger than a batch may be is written in one transaction all the same', async () => {
    const topic = freshTopic()
    await createTopic({ topic, numPartitions: 1 })
    const job = kafkaJob(topic, { lanes: [2] })
    await sink.prepare(job)
    const writer = await sink.openLane(job, 2)
    // About 2.5 MB of records into one partition, whose batches may have 1 MiB.
    await writer.write(Array.from({ length: 20 }, (_, seq) => chunk(2, seq, 1000)))
    await writer.end()
    await writer.close()
    expect(await sink.finalise(job, 20_000n)).toMatchObject({ rows: 20_000n })
    // In the order of the lane.
    expect((await readTopic(topic)).map(({ value }) => value.customer_id)).toEqual(idsOf(2, 20, 1000))
  })

  test('finalised twice, then discarded, is as it was', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic)
    const result = await run(job, 2)
    expect(await other.finalise(job, 40n)).toEqual(result)
    await sink.discard(job)
    await sink.discard(job)
    expect(await sink.finalise(job, 40n)).toEqual(result)
    expect(ids(await readTopic(topic))).toEqual([...idsOf(0, 2), ...idsOf(3, 2)])
  })

  test('of which rows are missing is not finalised', async () => {
    const job = kafkaJob(freshTopic())
    await run(job, 1)
    await expect(sink.finalise(job, 21n)).rejects.toMatchObject({ code: 'rows_lost', retriable: false })
  })

  test('whose time is up leaves its rows, and one of the same id begins from the start', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic)
    await run(job, 2)
    for (const _ of ['once', 'and again']) await sink.expire({ ...job, lanes: [] })
    const admin = kafkaClient().admin()
    await admin.connect()
    const { groups } = await admin.listGroups()
    await admin.disconnect()
    expect(groups.filter(({ groupId }) => groupId.includes(job.resultId))).toEqual([])
    expect(await run(job, 2)).toMatchObject({ rows: 40n })
    expect(await readTopic(topic)).toHaveLength(80)
  })
})

describe('every type', () => {
  const micros = 1_710_500_400_123_456n
  const columns: (Column & { values: Value[]; json: unknown; avro: unknown })[] = [
    { name: 'bool', kind: 'bool', values: [true], json: true, avro: true },
    { name: 'int16', kind: 'int16', values: [-7], json: -7, avro: -7 },
    { name: 'int32', kind: 'int32', values: [-70_000], json: -70_000, avro: -70_000 },
    { name: 'int64', kind: 'int64', values: [9_007_199_254_740_991n], json: 2 ** 53 - 1, avro: 2 ** 53 - 1 },
    { name: 'float32', kind: 'float32', values: [0.5], json: 0.5, avro: 0.5 },
    { name: 'float64', kind: 'float64', values: [0.1], json: 0.1, avro: 0.1 },
    { name: 'decimal', kind: 'decimal', precision: 20, scale: 2, values: [-1234n], json: '-12.34', avro: '-12.34' },
    { name: 'numeric', kind: 'numeric', values: ['1.000'], json: '1.000', avro: '1.000' },
    { name: 'utf8', kind: 'utf8', values: ['ü "x"'], json: 'ü "x"', avro: 'ü "x"' },
    { name: 'json', kind: 'json', values: ['{"a": 1}'], json: { a: 1 }, avro: '{"a": 1}' },
    { name: 'jsonb', kind: 'jsonb', values: ['[true]'], json: [true], avro: '[true]' },
    { name: 'binary', kind: 'binary', values: ['00ff'], json: 'AP8=', avro: '00ff' },
    {
      name: 'uuid',
      kind: 'uuid',
      values: ['00112233445566778899aabbccddeeff'],
      json: '00112233-4455-6677-8899-aabbccddeeff',
      avro: '00112233-4455-6677-8899-aabbccddeeff',
    },
    { name: 'date', kind: 'date', values: [19_797], json: '2024-03-15', avro: '2024-03-15' },
    {
      name: 'timestamp',
      kind: 'timestamp',
      values: [micros],
      json: '2024-03-15T11:00:00.123456',
      avro: '2024-03-15 11:00:00.123456',
    },
    {
      name: 'timestamptz',
      kind: 'timestamptz',
      values: [micros],
      json: '2024-03-15T11:00:00.123456Z',
      avro: '2024-03-15 11:00:00.123456+00:00',
    },
  ]
  const plain = columns.map(({ values: _values, json: _json, avro: _avro, ...column }) => column)
  const batch = batchOf(
    columns.map(({ values, json: _json, avro: _avro, ...column }) => ({ ...column, values: [...values, null] })),
  )
  const nulls = Object.fromEntries(columns.map(({ name }) => [name, null]))

  test.each(['json', 'avro'] as const)('and NULL, as %s', async (format) => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { lanes: [0], columns: plain, keyColumn: null, output: { format } })
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    await writer.write([{ seq: 0, batch, failed: [] }])
    await writer.end()
    await writer.close()
    await sink.finalise(job, 2n)
    const records = await readTopic(topic, format === 'avro' ? registryUrl : '')
    const expected = Object.fromEntries(columns.map((column) => [column.name, column[format]]))
    expect(records.map(({ value }) => value)).toEqual([expected, nulls])
  })

  test('a value that Avro has no room for fails the lane and nothing of it is seen', async () => {
    const topic = freshTopic()
    const columns: Column[] = [{ name: 'day', kind: 'date' }]
    const job = kafkaJob(topic, { lanes: [0], columns, keyColumn: null, output: { format: 'avro' } })
    await sink.prepare(job)
    const writer = await sink.openLane(job, 0)
    const bad = batchOf([{ name: 'day', kind: 'date', values: [1, 0x7fff_ffff] }])
    await expect(writer.write([{ seq: 0, batch: bad, failed: [] }])).rejects.toMatchObject({
      code: 'value_not_representable',
      retriable: false,
    })
    await writer.close()
    expect(await readTopic(topic, registryUrl)).toEqual([])
  })
})

describe('a lane', () => {
  test('goes on where its transactions ended; a replay from before is refused', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { lanes: [3] })
    await sink.prepare(job)
    const first = await sink.openLane(job, 3)
    expect(first.position).toEqual(LANE_START)
    await first.write([chunk(3, 0), chunk(3, 1, 10, 2)])
    await first.close()
    const second = await other.openLane(job, 3)
    expect(second.position).toMatchObject({ chunks: 2, rows: 20n, failedRows: 2n, done: false })
    await expect(second.write([chunk(3, 1)])).rejects.toMatchObject({ code: 'chunk_gap' })
    await second.write([chunk(3, 2)])
    await second.end()
    await second.close()
    expect(await sink.finalise(job, 30n)).toMatchObject({ rows: 30n })
    expect(ids(await readTopic(topic))).toEqual(idsOf(3, 3))
  })

  test('a writer whose lane another one opened cannot write any more', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { lanes: [3] })
    await sink.prepare(job)
    const zombie = await sink.openLane(job, 3)
    await zombie.write([chunk(3, 0)])
    const owner = await other.openLane(job, 3)
    expect(owner.position.chunks).toBe(1)
    await expect(zombie.write([chunk(3, 1)])).rejects.toMatchObject({ code: 'lane_taken', retriable: true })
    await owner.write([chunk(3, 1)])
    await expect(zombie.end()).rejects.toMatchObject({ retriable: true })
    await owner.end()
    await Promise.all([zombie.close(), owner.close()])
    expect(await sink.finalise(job, 20n)).toMatchObject({ rows: 20n })
    expect(ids(await readTopic(topic))).toEqual(idsOf(3, 2))
  })

  test('rows that were produced and not committed are never seen', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { lanes: [3] })
    await sink.prepare(job)
    const writer = await sink.openLane(job, 3)
    await writer.write([chunk(3, 0)])
    await writer.close()
    // What a sink leaves that is killed between its produce and its commit.
    const producer = kafkaClient().producer({ transactionalId: `${prefix}sink.kafka.${job.resultId}.3` })
    await producer.connect()
    const transaction = await producer.transaction()
    const value = JSON.stringify({ customer_id: 666 })
    await transaction.send({ topic, messages: [{ key: '666', value }] })
    await producer.disconnect()

    const successor = await other.openLane(job, 3)
    expect(successor.position).toMatchObject({ chunks: 1, rows: 10n })
    await successor.write([chunk(3, 1)])
    await successor.end()
    await successor.close()
    expect(await sink.finalise(job, 20n)).toMatchObject({ rows: 20n })
    expect(ids(await readTopic(topic))).toEqual(idsOf(3, 2))
  })

  test('shows its next owner all that the last one committed, however soon it comes', async () => {
    // Brokers show committed offsets a moment after their transaction has ended: 1 read in 180 came too early.
    const topic = freshTopic()
    await createTopic({ topic, numPartitions: 1 })
    const rounds = Array.from({ length: 4 }, async () => {
      for (let round = 0; round < 15; round++) {
        const job = kafkaJob(topic, { lanes: [3] })
        await sink.prepare(job)
        const writer = await other.openLane(job, 3)
        await writer.write([chunk(3, 0, 0, 1)])
        await writer.close()
        const next = await other.openLane(job, 3)
        expect(next.position).toEqual(writer.position)
        await next.close()
      }
    })
    await Promise.all(rounds)
  })

  test('is not opened before the attempt is prepared', async () => {
    const topic = freshTopic()
    await createTopic({ topic })
    await expect(sink.openLane(kafkaJob(topic), 0)).rejects.toMatchObject({ code: 'staging_missing', retriable: false })
  })
})

describe('a second attempt', () => {
  test('goes on when nothing of the first is out, and a zombie of the first writes nothing', async () => {
    const topic = freshTopic()
    const first = kafkaJob(topic)
    const second = { ...first, attempt: 2 }
    await sink.prepare(first)
    const zombie = await sink.openLane(first, 3)
    await other.discard(first)
    await other.prepare(second)
    await expect(zombie.write([chunk(3, 0)])).rejects.toMatchObject({ code: 'lane_taken' })
    await zombie.close()
    await expect(sink.openLane(first, 3)).rejects.toMatchObject({ code: 'staging_missing' })
    await expect(sink.prepare(first)).rejects.toMatchObject({ code: 'attempt_discarded' })
    await other.prepare(second)
    for (const lane of second.lanes) await writeLane(second, lane, 1)
    expect(await sink.finalise(second, 20n)).toMatchObject({ rows: 20n })
    expect(ids(await readTopic(topic))).toEqual([...idsOf(0, 1), ...idsOf(3, 1)])
  })

  test('is refused when rows of the first are out, and says how many', async () => {
    const topic = freshTopic()
    const first = kafkaJob(topic)
    await sink.prepare(first)
    const writer = await sink.openLane(first, 3)
    await writer.write([chunk(3, 0), chunk(3, 1)])
    await writer.close()
    await sink.discard(first)
    const refused = { code: 'already_published', retriable: false, message: expect.stringMatching(/^20 rows .*topic/) }
    await expect(sink.prepare({ ...first, attempt: 2 })).rejects.toMatchObject(refused)
    await expect(sink.prepare({ ...first, attempt: 3 })).rejects.toMatchObject(refused)
    expect(ids(await readTopic(topic))).toEqual(idsOf(3, 2))
  })

  test('of another job does not care', async () => {
    const topic = freshTopic()
    await run(kafkaJob(topic), 1)
    await run(kafkaJob(topic, { attempt: 2 }), 1)
    expect(await readTopic(topic)).toHaveLength(40)
  })
})

describe('what a request is refused for', () => {
  const problems = async (topic: string | null, more = {}, key: string | null = null, checker = sink) =>
    (await checker.check(kafkaOutput(topic, more), SCORES, jobInput(key))).map(({ code, pointer }) => [code, pointer])

  test.each([
    ['', 'topic_invalid'],
    ['.', 'topic_invalid'],
    ['a topic', 'topic_invalid'],
    ['a/b', 'topic_invalid'],
    ['x'.repeat(250), 'topic_invalid'],
    ['__consumer_offsets', 'topic_internal'],
    ['__transaction_state', 'topic_internal'],
    [`${prefix}jobs.v1`, 'topic_reserved'],
    [`${prefix}anything`, 'topic_reserved'],
  ])('the topic "%s"', async (topic, code) => {
    expect(await problems(topic)).toEqual([[code, '/output/topic']])
    expect(await codeOf(sink.prepare(kafkaJob(topic)))).toBe(code)
  })

  test.each(['overwrite', 'upsert', 'error'])('the mode %s', async (mode) => {
    expect(await problems(freshTopic(), { mode })).toEqual([['mode_not_supported', '/output/mode']])
  })

  test('a key column that is not in the output', async () => {
    expect(await problems(freshTopic(), {}, 'email')).toEqual([['key_column_missing', '/output/columns']])
  })

  test('a compacted topic without a key', async () => {
    const topic = freshTopic()
    await createTopic({ topic, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] })
    expect(await problems(topic)).toEqual([['key_required', '/input/key_column']])
    expect(await problems(topic, {}, 'customer_id')).toEqual([])
  })

  test('a topic that is not there and cannot be made', async () => {
    // Kafka takes "a.b" and "a_b" for the same in its metrics, and refuses the second.
    const topic = freshTopic()
    await createTopic({ topic })
    expect(await problems(topic.replace('.', '_'))).toEqual([['topic_not_found', '/output/topic']])
  })

  test('nothing, and nothing is changed', async () => {
    const topic = freshTopic()
    expect(await problems(topic, { format: 'avro' }, 'customer_id')).toEqual([])
    const admin = kafkaClient().admin()
    await admin.connect()
    expect(await admin.listTopics()).not.toContain(topic)
    await admin.disconnect()
  })

  test('Avro without a registry; with none, JSON is the default', async () => {
    const plain = openSink(null)
    const topic = freshTopic()
    expect(await problems(topic, { format: 'avro' }, null, plain)).toEqual([
      ['registry_not_configured', '/output/format'],
    ])
    const job = kafkaJob(topic, { lanes: [0], output: { format: null } })
    await plain.prepare(job)
    await plain.close()
    // The format is what it was when the attempt was prepared, whatever the sink's own settings say.
    await writeLane(job, 0, 1)
    expect(await readTopic(topic)).toHaveLength(10)
  })

  test('a registry that is away is waited for', async () => {
    const away = openSink('http://127.0.0.1:9')
    await expect(away.check(kafkaOutput(freshTopic(), { format: null }), SCORES, jobInput())).rejects.toMatchObject({
      code: 'registry_unavailable',
      retriable: true,
    })
    await expect(away.prepare(kafkaJob(freshTopic(), { output: { format: null } }))).rejects.toMatchObject({
      code: 'registry_unavailable',
      retriable: true,
    })
    await away.close()
  })

  test('a schema that does not fit the one in the registry', async () => {
    const topic = freshTopic()
    const job = kafkaJob(topic, { output: { format: null } })
    await run(job, 1)
    expect(await readTopic(topic, registryUrl)).toHaveLength(20)
    const subject = `${registryUrl}/config/${topic}-value`
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(subject, { method: 'PUT', headers, body: '{"compatibility":"BACKWARD"}' })
    expect(answer.status).toBe(200)

    const changed: Column[] = [
      { name: 'customer_id', kind: 'utf8' },
      { name: 'score', kind: 'float32' },
    ]
    const [problem] = await sink.check(kafkaOutput(topic, { format: 'avro' }), changed, jobInput())
    expect(problem).toMatchObject({ code: 'schema_incompatible', pointer: '/output/topic' })
    expect(problem?.detail).toMatch(/customer_id/)
    await expect(
      sink.prepare({ ...kafkaJob(topic, { output: { format: 'avro' } }), columns: changed }),
    ).rejects.toMatchObject({
      code: 'schema_incompatible',
      retriable: false,
    })

    const wider: Column[] = [...SCORES, { name: 'label', kind: 'int64' }]
    expect(await sink.check(kafkaOutput(topic, { format: 'avro' }), wider, jobInput())).toEqual([])
  })
})

test('opening a transactional id ends the transaction that was left open', async () => {
  const id = `${prefix}left-open`
  const left = await openTransactions(kafkaClient(), id)
  const right = await openTransactions(kafkaClient(), id)
  const topic = freshTopic()
  await createTopic({ topic })
  const offsets = {
    consumerGroupId: `${prefix}group`,
    topics: [{ topic, partitions: [{ partition: 0, offset: '1' }] }],
  }
  await right.run([], offsets)
  await expect(left.run([], offsets)).rejects.toMatchObject({ type: 'INVALID_PRODUCER_EPOCH' })
  await Promise.all([left.close(), right.close()])
})
