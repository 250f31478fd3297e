// Pools of scorers: where jobs go, what they wait for, and what becomes of them when their scorers are gone. The gpu pool
// computes on the CPU here; `npm run test:gpu` runs the same on a GPU, and tells where there is none.
import { beforeAll, expect, test } from 'vitest'
import { workerCodec, workersTopic } from '../../topics/workers.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  completed,
  failed,
  registerModel,
  run,
  seedCustomers,
  submit,
  whenJob,
} from '../harness/jobs.ts'
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const PROVIDERS = process.env.TEST_GPU_PROVIDERS || 'cpu'
const GPU = { SCORER_POOL: 'gpu', SCORER_PROVIDERS: PROVIDERS }
const ROWS = 10_000
let service: Service

beforeAll(async () => {
  service = await startService({ name: 'pools' })
  await seedCustomers(service, ROWS)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
})

function job(name: string, config: JsonObject, more: JsonObject = {}): JsonObject {
  return { ...churnJob({ output: { destination: 'table', table_name: `predictions.${name}` }, config }), ...more }
}

const waits = ({ waiting_for }: JsonObject): boolean => waiting_for !== null

test('a gpu job waits for a gpu scorer with the reason, no longer than it may run; auto does not wait', async () => {
  const hopeless = await submit(service, job('hopeless', { accelerator: 'gpu', timeout_minutes: 0.05 }))
  const waiting = await submit(service, job('on_gpu', { accelerator: 'gpu' }))
  expect(await whenJob(service, waiting, 'waiting', waits)).toMatchObject({
    status: 'submitted',
    waiting_for: { code: 'gpu_worker', message: expect.stringContaining('SCORER_POOL=gpu') },
  })
  expect(await run(service, job('auto_cpu', { accelerator: 'auto' }))).toMatchObject({ pool: 'cpu', waiting_for: null })
  expect((await failed(service, hopeless)).error).toMatchObject({
    code: 'timeout',
    message: expect.stringContaining('no scorer of the gpu pool is alive'),
  })

  await service.start('scorer', GPU)
  expect(await completed(service, waiting)).toMatchObject({ pool: 'gpu', waiting_for: null })
})

test('with a gpu scorer auto goes to it, and the pools predict the same', async () => {
  expect(await run(service, job('auto_gpu', { accelerator: 'auto' }))).toMatchObject({ pool: 'gpu' })
  expect(await run(service, job('on_cpu', { accelerator: 'cpu' }))).toMatchObject({ pool: 'cpu' })
  const [compared] = await service.query(
    `SELECT count(*)::int AS rows, count(*) FILTER (WHERE c.label <> g.label)::int AS labels,
            max(abs(c.probabilities_1 - g.probabilities_1)) AS apart
     FROM predictions.on_cpu c JOIN predictions.auto_gpu g USING (customer_id)`,
  )
  expect(compared).toMatchObject({ rows: ROWS, labels: 0 })
  // On the same processor to the last bit; a GPU sums in another order.
  if (PROVIDERS === 'cpu') expect(compared?.apart).toBe(0)
  else expect(compared?.apart).toBeLessThan(1e-5)
})

test('a heartbeat tells the pool, providers and devices', async () => {
  const beat = await until(() => heartbeats().then((all) => all.find(({ pool }) => pool === 'gpu')))
  expect(beat).toMatchObject({ role: 'scorer', providers: PROVIDERS.split(',') })
  expect(beat.devices.length).toBeGreaterThan(0)
})

test('a running job whose gpu scorers die: gpu waits and goes on when one comes; auto goes on in the cpu pool', async () => {
  const gpu = service.processes('scorer').at(-1) as RoleProcess
  // Their rows take some seconds to come, so both are caught when only a few of them are scored.
  const rows = 2_000
  const sleeping = `FROM customers, pg_sleep(0.002 * (customer_id / customer_id)) WHERE customer_id <= ${rows}`
  const slow = (name: string, accelerator: string): JsonObject => {
    const made = job(name, { accelerator, batch_size: 5, parallelism: 1, timeout_minutes: 5 })
    return { ...made, input: { ...made.input, query: CUSTOMERS.replace('FROM customers', sleeping) } }
  }
  const [staying, moving] = await Promise.all([
    submit(service, slow('staying', 'gpu')),
    submit(service, slow('moving', 'auto')),
  ])
  for (const id of [staying, moving])
    await whenJob(service, id, 'under way', ({ progress }) => progress.processed_rows > 0)
  await gpu.kill('SIGKILL')
  expect(await whenJob(service, staying, 'waiting', waits)).toMatchObject({ status: 'running', pool: 'gpu' })

  const moved = await completed(service, moving, 90_000)
  expect(moved).toMatchObject({ pool: 'cpu', attempt: 2, progress: { written_rows: rows } })
  expect(moved.failed_attempts).toMatchObject([{ error: { code: 'gpu_workers_lost' } }])
  expect(await rowsOf('moving')).toEqual([{ rows, keys: rows }])

  await service.start('scorer', GPU)
  expect(await completed(service, staying)).toMatchObject({ pool: 'gpu', attempt: 1, waiting_for: null })
  expect(await rowsOf('staying')).toEqual([{ rows, keys: rows }])
  // Half a minute is what a job waits for scorers that may come back.
}, 360_000)

test('a scorer that cannot use its execution providers says so and does not join', async () => {
  await expect(service.start('scorer', { SCORER_PROVIDERS: 'abacus' })).rejects.toThrow(
    /SCORER_PROVIDERS: execution provider abacus: expected one of .*cpu/,
  )
})

function rowsOf(table: string): Promise<JsonObject[]> {
  return service.query(
    `SELECT count(*)::int AS rows, count(DISTINCT customer_id)::int AS keys FROM predictions.${table}`,
  )
}

/** The heartbeats that are written while one listens for a moment. */
async function heartbeats(): Promise<JsonObject[]> {
  const consumer = service.kafka().consumer({ groupId: `${service.prefix}test-workers-${Date.now()}` })
  const beats: JsonObject[] = []
  await consumer.connect()
  await consumer.subscribe({ topics: [`${service.prefix}${workersTopic.name}`], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message: { value } }) => {
      if (value) beats.push(workerCodec.decode(value))
    },
  })
  await until(() => beats.some(({ pool }) => pool === 'gpu'))
  await consumer.disconnect()
  return beats
}
