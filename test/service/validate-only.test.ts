// `?validate_only=true`: everything is checked, nothing is submitted, and three scored rows come back.
import { beforeAll, expect, test } from 'vitest'
import { CHURN_FEATURES, churnJob, registerModel, run, seedCustomers } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ name: 'validate' })
  await seedCustomers(service, 100)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  await registerModel(service, 'picky', 'picky.onnx', 'x0,x1')
})

const validate = (job: JsonObject) => service.request('/api/v1/inference/batch?validate_only=true', { body: job })
const ORDERED = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers ORDER BY customer_id'

test('the answer has the columns of each output and the first rows, scored as the job scores them', async () => {
  const job = { ...churnJob({ query: ORDERED }), outputs: [{ destination: 'csv', path: 'x', columns: ['label'] }] }
  const { status, body } = await validate(job)
  expect(status).toBe(200)
  expect(body).toMatchObject({
    valid: true,
    model_version: 1,
    input_row_count: 100,
    input_row_count_estimated: false,
    columns: [
      [
        { name: 'customer_id', type: 'bigint' },
        { name: 'label', type: 'int64' },
        { name: 'probabilities_0', type: 'float32' },
        { name: 'probabilities_1', type: 'float32' },
      ],
      [{ name: 'label', type: 'int64' }],
    ],
    sample_errors: [],
  })
  expect(body.sample.map(({ customer_id }: JsonObject) => customer_id)).toEqual([1, 2, 3])
  expect((await service.request('/api/v1/inference/batch')).body.data).toEqual([])

  await run(service, churnJob({ query: ORDERED }))
  const rows = await service.query(
    'SELECT customer_id::int, label::int, probabilities_0, probabilities_1 FROM predictions.churn_scores ORDER BY customer_id LIMIT 3',
  )
  expect(body.sample).toEqual(rows)
})

test('a list is an array in the sample', async () => {
  const table = { destination: 'table', table_name: 'predictions.lists', columns: ['customer_id', 'probabilities'] }
  const { body } = await validate(churnJob({ query: ORDERED, output: table }))
  expect(body.columns[0][1]).toEqual({ name: 'probabilities', type: 'list<float32>' })
  const { body: singly } = await validate(churnJob({ query: ORDERED }))
  expect(body.sample).toEqual(
    singly.sample.map(({ customer_id, probabilities_0, probabilities_1 }: JsonObject) => ({
      customer_id,
      probabilities: [probabilities_0, probabilities_1],
    })),
  )
  const { status, body: refused } = await validate(
    churnJob({ query: ORDERED.replace('total_charges', "total_charges, 'x' AS probabilities"), output: table }),
  )
  expect([status, refused.errors?.[0]?.code, refused.errors?.[0]?.pointer]).toEqual([
    400,
    'column_conflict',
    '/output/columns',
  ])
})

test('a fault is refused as it is at submission', async () => {
  const { status, body } = await validate(churnJob({ query: 'SELECT 1 AS tenure' }))
  expect(status).toBe(400)
  expect(body.code).toBe('columns_mismatch')
  expect((await service.request('/api/v1/inference/batch?validate_only=maybe', { body: churnJob() })).status).toBe(400)
})

test('rows of the sample that cannot be scored say why; an empty query has no sample rows', async () => {
  const output = { destination: 'table', table_name: 'predictions.picky' }
  const picky = (query: string) => churnJob({ model_id: 'picky', query, output })
  const { body } = await validate(
    picky('SELECT i AS id, CASE i WHEN 2 THEN 666 ELSE i END::real AS x0, 1::real AS x1 FROM generate_series(1, 9) i'),
  )
  expect(body.sample).toEqual([
    { id: 1, y: 2 },
    { id: 3, y: 4 },
  ])
  expect(body.sample_errors).toEqual([expect.stringContaining('out of data bounds')])
  const empty = await validate(picky('SELECT 1::real AS x0, 1::real AS x1 WHERE false'))
  expect(empty.body).toMatchObject({ valid: true, input_row_count: 0, sample: [] })
})

test('a query that takes long to give its first rows is valid without a sample', async () => {
  const { status, body } = await validate(
    churnJob({ query: `${ORDERED.replace('ORDER', 'WHERE pg_sleep(0.3) IS NOT NULL ORDER')}` }),
  )
  expect(status).toBe(200)
  expect(body).toMatchObject({ valid: true, input_row_count_estimated: true, sample: null })
})

test('a schedule is checked with its job, and shows its next firings', async () => {
  const schedule = { cron: '0 2 * * *', timezone: 'UTC' }
  const { status, body } = await validate({ ...churnJob({ query: ORDERED }), schedule })
  expect([status, body.valid, body.sample.length]).toEqual([200, true, 3])
  expect(body.next_firings).toEqual([...body.next_firings].sort())
  expect(body.next_firings).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/T02:00:00\.000Z$/)))
  const refused = await validate({ ...churnJob({ query: ORDERED }), schedule: { cron: '0 25 * * *' } })
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([400, '/schedule/cron'])
  expect((await service.request('/api/v1/inference/schedules')).body.data).toEqual([])
})
