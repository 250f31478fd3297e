// Everything that a request can have wrong beside the job in it (its body, parameters, a model's bytes, what it asks for) is
// answered with application/problem+json and changes nothing.
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CUSTOMERS, churnJob, JOBS, modelBytes, run } from '../harness/jobs.ts'
import type { JsonObject, Service } from '../harness/service.ts'
import { identityModel } from '../model/onnx-writer.ts'
import {
  type Answer,
  expectNoJobs,
  expectRefusal,
  expectUntouched,
  jobWith,
  MAX_ROWS,
  type Refusal,
  startRefusing,
} from './refusals.ts'

let service: Service
/** Jobs that a test has told of. */
const known: string[] = []

beforeAll(async () => {
  service = await startRefusing('bad-request')
})

afterEach(() => expectNoJobs(service, known))

const refused = async (job: unknown, expected: Refusal): Promise<void> =>
  expectRefusal(await service.request(JOBS, { body: job }), expected)

describe('the request', () => {
  test.each([
    ['/modelid', { modelid: 'churn' }],
    ['/input/tables', { input: { ...churnJob().input, tables: [] } }],
    ['/output/table', { output: { ...churnJob().output, table: 'scores' } }],
    ['/config/batchsize', { config: { batchsize: 5 } }],
    ['/~1~0', { '/~': 1 }],
  ])('an unknown field: %s', (pointer, parts) =>
    refused({ ...churnJob(), ...parts }, { code: 'unknown_field', pointer, says: /no field of this object/ }),
  )

  test.each([
    ['/input', 'input', 'required'],
    ['/output', 'output', 'required'],
  ])('without %s', async (pointer, name, code) => {
    const { [name]: _left, ...job } = churnJob()
    await refused(job, { code, pointer })
  })

  test.each([[null], [[]], ['text'], [7]])('a body that is no object: %j', (body) =>
    refused(body, { code: 'invalid', pointer: '' }),
  )

  test('all faults are named at once', async () => {
    const { status, body, headers } = await service.request(JOBS, {
      body: {
        model_id: 7,
        input: { source: 'sql', query: CUSTOMERS, where: '1 = 1' },
        output: { destination: 'table', table_name: 'scores', mode: 'replace' },
        config: { batch_size: 0, parallelism: 99 },
        note: '',
      },
    })
    expect([status, body.code]).toEqual([400, 'invalid_request'])
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(body.errors.map(({ pointer, code }: JsonObject) => `${pointer} ${code}`).sort()).toEqual([
      '/config/batch_size invalid',
      '/config/parallelism invalid',
      '/input/where unknown_field',
      '/model_id invalid',
      '/note unknown_field',
      '/output/mode invalid',
    ])
  })

  test('faults that only the world can tell are named at once, too', async () => {
    const { body } = await service.request(JOBS, {
      body: jobWith({
        model_id: 'churm',
        input: { query: 'SELECT * FROM nowhere' },
      }),
    })
    expect(body.errors.map(({ pointer, code }: JsonObject) => `${pointer} ${code}`)).toEqual([
      '/model_id model_not_found',
      '/input/query table_not_found',
    ])
  })

  const raw = (body: string | Uint8Array, type?: string): Promise<Answer> =>
    service.request(JOBS, { body: Buffer.from(body), headers: type === undefined ? {} : { 'content-type': type } })

  test.each(['', '{"model_id": ', '{"model_id": "churn",}', 'model_id=churn', '\u0000', '{} {}'])(
    'malformed JSON: %j',
    async (body) =>
      expectRefusal(await raw(body, 'application/json'), {
        code: body === '' ? 'ctp_empty_json_body' : 'ctp_invalid_json_body',
        pointer: null,
        says: /JSON/i,
      }),
  )

  test.each([
    'text/plain',
    'application/xml',
    'application/octet-stream',
    'application/x-www-form-urlencoded',
    'nonsense',
  ])('content type %s', async (type) =>
    expectRefusal(await raw(JSON.stringify(churnJob()), type), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
      says: /media type/i,
    }),
  )

  test('no content type', async () =>
    expectRefusal(await raw(JSON.stringify(churnJob())), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
    }))

  test('a body of more than a megabyte', async () =>
    expectRefusal(await raw(JSON.stringify({ ...churnJob(), note: 'x'.repeat(2 ** 20) }), 'application/json'), {
      status: 413,
      code: 'ctp_body_too_large',
      pointer: null,
    }))

  test('a key that would change what objects are', () =>
    raw(`{"__proto__": {"model_id": "churn"}, ${JSON.stringify(churnJob()).slice(1)}`, 'application/json').then(
      (answer) => expectRefusal(answer, { code: 'ctp_invalid_json_body', pointer: null }),
    ))

  test.each([
    ['', 'empty'],
    ['k'.repeat(256), 'too long'],
  ])('an Idempotency-Key that is %#', async (key) => {
    expectRefusal(await service.request(JOBS, { body: churnJob(), headers: { 'idempotency-key': key } }), {
      code: 'invalid',
      pointer: '/idempotency-key',
    })
  })

  test('an unknown query parameter of a submission', async () =>
    expectRefusal(await service.request(`${JOBS}?dry_run=true`, { body: churnJob() }), {
      code: 'unknown_field',
      pointer: '/dry_run',
    }))
})

describe('registering a model', () => {
  const put = async (
    modelId: string,
    body: Uint8Array,
    search = '',
    type = 'application/octet-stream',
  ): Promise<Answer> =>
    service.request(`/api/v1/models/${modelId}${search}`, { method: 'PUT', body, headers: { 'content-type': type } })

  afterEach(async () => {
    const { body } = await service.request('/api/v1/models')
    expect(body.data.map(({ model_id }: JsonObject) => model_id)).toEqual(['churn', 'per-column'])
  })

  test('a file that is no ONNX model, or nothing at all', async () => {
    for (const bytes of [await modelBytes('not-onnx.bin'), Buffer.from('{}'), Buffer.alloc(0)])
      expectRefusal(await put('new', bytes), { code: 'model_invalid', pointer: null, says: /ONNX/i })
  })

  test('half of an ONNX model', async () => {
    const bytes = await modelBytes('churn.onnx')
    expectRefusal(await put('new', bytes.subarray(0, bytes.length / 2), '?features=a,b,c'), {
      code: 'model_invalid',
      pointer: null,
    })
  })

  test.each([
    ['', /needs \?features=.*3 query columns.*got none/],
    ['?features=a,b', /takes 3 features, got 2: a, b/],
    ['?features=a,b,c,d', /takes 3 features, got 4/],
    ['?features=a,b,b', /once.*b/],
    ['?features=a,,c', /empty/],
  ])('a model of one tensor with features "%s"', async (search, says) =>
    expectRefusal(await put('new', await modelBytes('churn.onnx'), search), {
      code: 'features_invalid',
      pointer: '/features',
      says,
    }),
  )

  test('features for a model with one input per column', async () =>
    expectRefusal(await put('new', await modelBytes('per-column.onnx'), '?features=amount,visits,plan'), {
      code: 'features_invalid',
      pointer: '/features',
      says: /by name \(amount, visits, plan\).*leave/,
    }))

  test('an input that columns cannot feed', async () => {
    const input = { name: 'image', type: 'float32' as const, shape: ['N', 28, 28] }
    expectRefusal(await put('new', identityModel([{ input, output: { ...input, name: 'out' } }])), {
      code: 'unsupported_input',
      pointer: '/inputs',
      says: /3 dimensions/,
    })
  })

  test('an output that no column can hold', async () => {
    const input = { name: 'x', type: 'complex64' as const, shape: ['N', 1] }
    const answer = await put('new', identityModel([{ input, output: { ...input, name: 'y' } }]))
    expectRefusal(answer, { code: answer.body.code, pointer: null })
    expect(['unsupported_input', 'model_invalid']).toContain(answer.body.code)
  })

  test('another content type', async () => {
    expectRefusal(await put('new', Buffer.from('{}'), '', 'application/json'), {
      status: 415,
      code: 'model_expected',
      pointer: null,
      says: /octet-stream/,
    })
    expectRefusal(await put('new', await modelBytes('churn.onnx'), '', 'multipart/form-data; boundary=x'), {
      status: 415,
      code: 'ctp_invalid_media_type',
      pointer: null,
    })
  })

  test.each(['a@1', '.hidden', 'a%20b', 'a%2Fb', 'x'.repeat(129)])('model_id %s', async (modelId) =>
    expectRefusal(await put(modelId, await modelBytes('per-column.onnx')), { code: 'invalid', pointer: '/model_id' }),
  )

  test('an unknown query parameter', async () =>
    expectRefusal(await put('new', await modelBytes('churn.onnx'), '?feature=a,b,c'), {
      code: 'unknown_field',
      pointer: '/feature',
    }))
})

describe('reading', () => {
  test.each([
    ['GET', `${JOBS}/batch-0123456789abcdef0123`],
    ['GET', `${JOBS}/nonsense`],
    ['POST', `${JOBS}/batch-0123456789abcdef0123/cancel`],
    ['GET', `${JOBS}/batch-0123456789abcdef0123/events`],
    ['GET', '/api/v1/models/nothing'],
    ['GET', '/api/v1/nothing'],
    ['DELETE', JOBS],
  ])('what is not there: %s %s', async (method, path) =>
    expectRefusal(await service.request(path, { method }), { status: 404, code: 'not_found', pointer: null }),
  )

  test.each([
    'limit=0',
    'limit=1001',
    'limit=-1',
    'limit=1.5',
    'limit=ten',
    'limit=true',
    'limit=',
    'status=done',
    'status=',
    'status=running,done',
    'destination=tape',
    'submitted_from=monday',
    'submitted_before=2026-13-01',
  ])('a list with %s', async (search) =>
    expectRefusal(await service.request(`${JOBS}?${search}`), {
      code: 'invalid',
      pointer: `/${search.split('=')[0]}`,
    }),
  )

  test.each(['nonsense', 'MTIz', '', '%00', Buffer.from('1/').toString('base64url')])(
    'a list after %j',
    async (after) =>
      expectRefusal(await service.request(`${JOBS}?after=${after}`), {
        code: 'invalid_cursor',
        pointer: null,
        says: /next/,
      }),
  )

  test('a path that is no URL', async () =>
    expectRefusal(await service.request('/api/v1/models/%zz'), { code: 'bad_url', pointer: null }))

  test('a list with an unknown query parameter', async () =>
    expectRefusal(await service.request(`${JOBS}?state=running`), { code: 'unknown_field', pointer: '/state' }))
})

test('after all of this nothing is there that a refused request could have left', () => expectUntouched(service))

test('as many rows as the limit and the largest sizes are just allowed', async () => {
  const job = await run(service, jobWith({ config: { batch_size: 100_000, parallelism: 16 } }))
  known.push(job.job_id)
  expect(job.progress.written_rows).toBe(MAX_ROWS)
})
