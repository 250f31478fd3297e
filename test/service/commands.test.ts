// The commands as raw records on Kafka, as any client may produce them: what they do, and that none of them stops the controller.
import { Partitioners } from 'kafkajs'
import { beforeAll, expect, test } from 'vitest'
import { commandsTopic } from '../../topics/commands.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  completed,
  failed,
  jobsInto,
  listJobs,
  recordsOf,
  registerModel,
  seedCustomers,
  smallJob,
  statusOf,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

let service: Service

beforeAll(async () => {
  service = await startService({ name: 'commands' })
  await seedCustomers(service, 120_000)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

async function rowsIn(name: string): Promise<number> {
  const [row] = await service.query<{ rows: number }>(`SELECT count(*)::int AS rows FROM predictions.${name}`)
  return row?.rows ?? 0
}

/** As any client would: the key is the tenant, the partition follows from it. Gives the offset of the first record. */
async function produce(...records: { value: unknown; key?: string; partition?: number }[]): Promise<bigint> {
  const producer = service.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const [first] = await producer.send({
    topic: `${service.prefix}${commandsTopic.name}`,
    messages: records.map(({ value, key = 'default', partition }) => ({
      key,
      value: value === null || Buffer.isBuffer(value) || typeof value === 'string' ? value : JSON.stringify(value),
      ...(partition === undefined ? {} : { partition }),
    })),
  })
  await producer.disconnect()
  return BigInt(first?.baseOffset ?? 0)
}

const submission = (job: unknown, more: JsonObject = {}): JsonObject => ({
  type: 'submit',
  tenant_id: 'default',
  job,
  ...more,
})

/** The only job into this table, once it is there. */
async function jobInto(name: string): Promise<string> {
  const [job] = await until(async () => {
    const found = await jobsInto(service, name)
    return found.length ? found : undefined
  })
  return job?.job_id as string
}

/** Waits until a command sent now is done: then all before it are taken up. */
async function settled(name: string): Promise<void> {
  await produce({ value: submission(smallJob(name)) })
  await completed(service, await jobInto(name))
}

async function deadCommands(): Promise<JsonObject[]> {
  return (await recordsOf(service, deadLettersTopic.name)).filter(({ kind }) => kind === 'command')
}

test('a submission runs as over REST, and over REST the same key finds it', async () => {
  const job = smallJob('by_record')
  await produce({ value: submission(job, { idempotency_key: 'record-1' }) })
  const jobId = await jobInto('by_record')
  expect(await completed(service, jobId)).toMatchObject({ model_version: 1, progress: { written_rows: 10 } })
  expect(await rowsIn('by_record')).toBe(10)
  expect(await submit(service, job, { 'idempotency-key': 'record-1' })).toBe(jobId)
})

test('on a partition that is not the tenant’s, it runs all the same, once', async () => {
  // Every partition but one is wrong.
  await produce(
    ...Array.from({ length: CONTROL_PARTITIONS }, (_, partition) => ({
      partition,
      value: submission(smallJob(`on_partition_${partition}`)),
    })),
  )
  for (let partition = 0; partition < CONTROL_PARTITIONS; partition++)
    await completed(service, await jobInto(`on_partition_${partition}`))
  for (let partition = 0; partition < CONTROL_PARTITIONS; partition++)
    expect(await jobsInto(service, `on_partition_${partition}`)).toHaveLength(1)
})

test('a replayed record makes no second job; the same key with another body is a dead letter', async () => {
  const record = { value: submission(smallJob('replayed'), { idempotency_key: 'record-2' }) }
  await produce(record, record)
  await completed(service, await jobInto('replayed'))
  await produce(record, { ...record, partition: 3 }, { ...record, partition: 4 })
  await produce({ value: submission(smallJob('replayed_2'), { idempotency_key: 'record-2' }) })
  await settled('after_replay')
  expect(await jobsInto(service, 'replayed')).toHaveLength(1)
  expect(await jobsInto(service, 'replayed_2')).toEqual([])
  expect(await deadCommands()).toContainEqual(
    expect.objectContaining({ tenant_id: 'default', reason: expect.stringContaining('another idempotency_key') }),
  )
})

test('records that change nothing, one right after the other, do not stop the controller', async () => {
  // Each is a transaction of an offset alone, begun while the markers of the one before are still being written.
  const value = JSON.stringify(submission(smallJob('again'), { idempotency_key: 'record-3' }))
  const producer = service.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  for (let i = 0; i < 100; i++)
    await producer.send({ topic: `${service.prefix}${commandsTopic.name}`, messages: [{ key: 'default', value }] })
  await producer.disconnect()
  await settled('after_again')
  expect(await jobsInto(service, 'again')).toHaveLength(1)
  expect((await service.request('/readyz')).body.roles.controller).toBe(1)
})

test('a refused submission becomes a failed job with its reasons', async () => {
  const wrong = { ...smallJob('refused'), model_id: 'refused-1', config: { batch_size: 0, parallelism: 99 }, note: 1 }
  await produce(
    { value: submission(wrong) },
    { value: submission({ ...smallJob('refused'), model_id: 'refused-2' }) },
    { value: submission({ ...smallJob('refused', 'SELECT * FROM nowhere'), model_id: 'churn@1' }) },
    { value: submission(smallJob('refused', 'DROP TABLE customers')) },
    { value: submission({}) },
  )
  const refused = await until(async () => {
    const found = (await listJobs(service)).filter(({ error }) => error !== null && /^\//.test(error.message))
    return found.length === 5 ? found : undefined
  })
  const errors = await Promise.all(refused.map(async ({ job_id }) => (await failed(service, job_id)).error))
  expect(errors).toEqual(
    expect.arrayContaining([
      {
        code: 'invalid_request',
        message: expect.stringMatching(
          /^(?=.*\/note: )(?=.*\/config\/batch_size: .*0)(?=.*\/config\/parallelism: .*99)/,
        ),
      },
      { code: 'model_not_found', message: expect.stringMatching(/^\/model_id: model refused-2/) },
      { code: 'table_not_found', message: expect.stringMatching(/^\/input\/query: .*nowhere/) },
      { code: 'sql_not_select', message: expect.stringMatching(/^\/input\/query: .*DROP/) },
      { code: 'invalid_request', message: expect.stringMatching(/\/model_id: model_id is missing/) },
    ]),
  )
})

test('a cancel stops a job; one of a job that is not there, or not the tenant’s, is a dead letter', async () => {
  const endless = CUSTOMERS.replace('FROM customers', 'FROM pg_sleep(60), customers LIMIT 10')
  const jobId = await submit(service, smallJob('cancelled', endless))
  await whenJob(service, jobId, 'running', ({ status }) => status === 'running')
  await produce(
    { value: { type: 'cancel', tenant_id: 'somebody', job_id: jobId }, key: 'somebody' },
    { value: { type: 'cancel', tenant_id: 'default', job_id: 'batch-unknown' } },
  )
  await settled('after_wrong_cancel')
  expect((await statusOf(service, jobId)).status).toBe('running')
  await produce({ value: { type: 'cancel', tenant_id: 'default', job_id: jobId } })
  await whenJob(service, jobId, 'cancelled', ({ status }) => status === 'cancelled')
  const letters = await until(async () => {
    const found = (await deadCommands()).filter(({ content }) => /"cancel"/.test(content))
    return found.length === 2 ? found : undefined
  })
  expect(letters.map(({ reason }) => reason).sort()).toEqual([
    'tenant default has no job batch-unknown',
    `tenant somebody has no job ${jobId}`,
  ])
})

test('garbage goes to the dead letters with its origin, and later commands still work', async () => {
  const garbage = [
    'not JSON',
    '',
    '{"type": "submit"',
    'null',
    '7',
    '[]',
    '{}',
    submission(smallJob('never'), { tenant_id: '' }),
    submission(smallJob('never'), { tenant_id: 7 }),
    submission(smallJob('never'), { type: 'launch' }),
    submission(null),
    submission('SELECT 1'),
    submission(smallJob('never'), { idempotency_key: 5 }),
    { type: 'cancel', tenant_id: 'default' },
    Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  ]
  const from = await produce(...garbage.map((value) => ({ value, partition: 5 })), { value: null, partition: 5 })
  await produce({ value: submission(smallJob('after_garbage')), partition: 5 })
  await completed(service, await jobInto('after_garbage'))
  const letters = (await deadCommands()).filter(({ origin }) => origin.partition === 5 && BigInt(origin.offset) >= from)
  expect(letters).toHaveLength(garbage.length + 1)
  for (const letter of letters) {
    expect(letter.reason).toMatch(/expected/)
    expect(letter.origin).toEqual({
      topic: `${service.prefix}${commandsTopic.name}`,
      partition: 5,
      offset: expect.stringMatching(/^\d+$/),
    })
  }
  expect(letters.map(({ content }) => content)).toEqual(expect.arrayContaining(['not JSON', '{}', null]))
  expect(await jobsInto(service, 'never')).toEqual([])
})

// Last: a controller that does not survive these does not survive its restart either.
test.each([
  ['a job_id that is no text', { job_id: 42 }],
  ['a job_id that is a path', { job_id: '../../elsewhere' }],
  ['a plan that is empty', { plan: {} }],
  ['a plan of wrong types', { plan: { total_rows: 'many', model_version: '1', output_columns: 7 } }],
])('what only the API may set, from somebody else, harms nobody: %s', async (_what, more) => {
  const name = `harm_${Object.keys(more)[0]}_${JSON.stringify(more).length}`
  await produce({ value: submission(smallJob(name), more) })
  await settled(`after_${name}`)
  expect(service.processes('controller')).toHaveLength(1)
  expect((await service.request('/readyz')).status).toBe(200)
  // Refused, or run as if it had not been said.
  for (const { job_id } of await jobsInto(service, name)) {
    expect(job_id).toMatch(/^batch-[0-9a-f]{20}$/)
    await whenJob(service, job_id, 'finished', ({ finished_at }) => finished_at !== null)
  }
})
