// Failed rows: which they are and why, page by page; and a new job over just those.
import { beforeAll, describe, expect, test } from 'vitest'
import { completed, failed, registerModel, run, seedCustomers, submit } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ name: 'errors' })
  await registerModel(service, 'per-column', 'per-column.onnx')
  await registerModel(service, 'picky', 'picky.onnx', 'x0,x1')
  await seedCustomers(service, 10)
  // Every tenth row cannot be scored: `visits` is an integer feature.
  await service.query(
    `CREATE TABLE visitors AS SELECT i AS id, i::real AS amount, CASE WHEN i % 10 > 0 THEN i::bigint END AS visits, 'pro''s' AS plan, timestamptz '2024-02-29 12:34:56.789+00' + i * interval '1 s' AS seen FROM generate_series(1, 1000) i`,
  )
})

const QUERY = 'SELECT * FROM visitors; -- all of them'

function job(table: string, more: { input?: JsonObject; config?: JsonObject; model_id?: string } = {}): JsonObject {
  return {
    model_id: more.model_id ?? 'per-column',
    input: { source: 'sql', query: QUERY, ...more.input },
    output: { destination: 'table', table_name: `predictions.${table}` },
    config: { batch_size: 64, max_failed_rows: 1000, ...more.config },
  }
}

const errorsOf = async (jobId: string, query = '') =>
  (await service.request(`/api/v1/inference/batch/${jobId}/errors${query}`)).body
const redrive = (jobId: string, body?: JsonObject) =>
  service.request(`/api/v1/inference/batch/${jobId}/errors/redrive`, { method: 'POST', ...(body ? { body } : {}) })
const idsIn = async (table: string) =>
  (await service.query<{ id: number }>(`SELECT id FROM predictions.${table} ORDER BY id`)).map(({ id }) => id)

const TENTHS = Array.from({ length: 100 }, (_, i) => (i + 1) * 10)

describe('a job with failed rows', () => {
  let jobId: string
  beforeAll(async () => {
    jobId = (await run(service, job('visitors', { input: { key_column: 'id' } }))).job_id
  })

  test('its errors have key, input and reason, each row once', async () => {
    const { data, has_more, next } = await errorsOf(jobId)
    expect({ has_more, next }).toEqual({ has_more: false, next: null })
    expect(data.map(({ key }: JsonObject) => Number(key)).sort((a: number, b: number) => a - b)).toEqual(TENTHS)
    expect(data.find(({ key }: JsonObject) => key === '10')).toEqual({
      id: expect.stringMatching(new RegExp(`^${jobId}/1/\\d+/\\d+/\\d+$`)),
      key: '10',
      reason: expect.stringContaining('visits is NULL'),
      input: { id: '10', amount: '10', visits: null, plan: "pro's", seen: '2024-02-29 12:35:06.789+00' },
      at: expect.any(String),
    })
  })

  test('pages together are the whole', async () => {
    const keys: string[] = []
    let pages = 0
    for (let after: string | null = ''; after !== null; pages++) {
      const page: JsonObject = await errorsOf(jobId, `?limit=30${after && `&after=${after}`}`)
      keys.push(...page.data.map(({ key }: JsonObject) => key))
      expect(page.data.length).toBe(pages < 3 ? 30 : 10)
      after = page.next
    }
    expect(pages).toBe(4)
    expect(keys.map(Number).sort((a, b) => a - b)).toEqual(TENTHS)
  })

  test('bad paging is refused; a job that is not there has no errors', async () => {
    expect((await service.request(`/api/v1/inference/batch/${jobId}/errors?limit=0`)).status).toBe(400)
    expect((await service.request(`/api/v1/inference/batch/${jobId}/errors?after=x`)).status).toBe(400)
    expect((await service.request('/api/v1/inference/batch/batch-none/errors')).status).toBe(404)
    expect((await redrive('batch-none')).status).toBe(404)
  })

  test('redriven, the rows are read again by their keys and added to the result', async () => {
    await service.query('UPDATE visitors SET visits = 7 WHERE id % 10 = 0 AND id <= 500')
    // Looked at first: nothing is submitted by that.
    const only = await service.request(`/api/v1/inference/batch/${jobId}/errors/redrive?validate_only=true`, {
      method: 'POST',
    })
    expect([only.status, only.body.valid]).toEqual([200, true])
    const { status, body } = await redrive(jobId)
    expect(only.body.input_row_count).toBe(body.input_row_count)
    expect(status).toBe(202)
    expect(body).toMatchObject({ input_row_count: 100 })
    const again = await completed(service, body.job_id)
    expect(again.progress).toMatchObject({ total_rows: 100, written_rows: 50, failed_rows: 50 })
    const all = Array.from({ length: 1000 }, (_, i) => i + 1)
    expect(await idsIn('visitors')).toEqual(all.filter((id) => id % 10 !== 0 || id <= 500))
    expect((await errorsOf(body.job_id)).data).toHaveLength(50)
    await service.query('UPDATE visitors SET visits = NULL WHERE id % 10 = 0')
  })
})

test('without a key column, the rows of the dead letters are run again, with their types', async () => {
  const query = `SELECT i AS id, CASE WHEN i = 5 THEN 666 ELSE i END::real AS x0, 1::real AS x1, 'it''s "quoted"' AS note, 12.50::numeric(6,2) AS price, '\\x00ff'::bytea AS raw, '{"a":[1]}'::jsonb AS doc, date '1999-12-31' AS day, NULL::uuid AS ref FROM generate_series(1, 20) i`
  const first = await run(
    service,
    job('poison', { model_id: 'picky', input: { query }, config: { max_failed_rows: 1 } }),
  )
  const target = { destination: 'table', table_name: 'predictions.poison_again' }
  const { status, body } = await redrive(first.job_id, { model_id: 'other', output: target })
  expect([status, body.code]).toEqual([400, 'model_not_found'])
  await registerModel(service, 'other', 'regressor.onnx', 'x0,x1')
  const second = await redrive(first.job_id, { model_id: 'other', output: target })
  await completed(service, second.body.job_id)
  expect(
    await service.query(
      "SELECT id, note, price::text, encode(raw, 'hex') AS raw, doc, day::text, ref, pg_typeof(doc)::text AS type FROM predictions.poison_again",
    ),
  ).toEqual([
    {
      id: 5,
      note: 'it\'s "quoted"',
      price: '12.50',
      raw: '00ff',
      doc: { a: [1] },
      day: '1999-12-31',
      ref: null,
      type: 'jsonb',
    },
  ])
})

test('a job that failed because of too many rows tells which they were', async () => {
  const strict = await failed(service, await submit(service, job('strict', { config: { max_failed_rows: 0 } })))
  expect(strict.error.code).toBe('too_many_failed_rows')
  const { data } = await errorsOf(strict.job_id)
  expect(data.length).toBeGreaterThan(0)
  expect(data[0].reason).toContain('visits is NULL')
})

test('there is nothing to redrive of a job without failed rows, or one that is not finished', async () => {
  const fine = await run(service, job('fine', { input: { query: 'SELECT * FROM visitors WHERE id % 10 > 0' } }))
  expect((await redrive(fine.job_id)).body).toMatchObject({ status: 409, code: 'nothing_to_redrive' })
  const slow = await submit(
    service,
    job('slow', { input: { query: 'SELECT v.* FROM visitors v, pg_sleep(0.02 * (v.id / v.id))' } }),
  )
  expect((await redrive(slow)).body).toMatchObject({ status: 409, code: 'job_not_finished' })
  await service.request(`/api/v1/inference/batch/${slow}/cancel`, { method: 'POST' })
})
