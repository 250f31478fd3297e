// Records of commands.v1, whoever wrote them: which are commands, whose job they stand for, and the job they begin.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newJob, parseCommand, plannedByApi, specOf, submittedJobId } from '../../src/controller/command-record.ts'
import { jobIdOfKey, jobIdOfRecord, requestHash } from '../../src/job/identity.ts'
import { parseJob } from '../../src/job/spec.ts'
import type { SubmitCommand } from '../../topics/commands.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { PLAN } from '../job/snapshots.ts'

const DEFAULTS = { parallelism: 4 }
const BODY = {
  model_id: 'churn@3',
  input: { source: 'sql', query: 'SELECT * FROM customers' },
  output: { destination: 'csv', path: 's3://bucket/prefix/', columns: ['customer_id', 'label'] },
  config: { batch_size: 500, max_failed_rows: 7 },
}
const SUBMIT: SubmitCommand = { type: 'submit', tenant_id: 'acme', job: BODY }

describe('parseCommand', () => {
  test.each([
    SUBMIT,
    { ...SUBMIT, idempotency_key: 'k1' },
    { ...SUBMIT, plan: { ...PLAN, total_rows: '5', model_version: 3 } },
    { type: 'cancel', tenant_id: 'acme', job_id: 'batch-1' },
    { type: 'schedule', tenant_id: 'acme', schedule_id: 'schedule-1', schedule: { enabled: false }, change_id: 'c1' },
    { type: 'schedule', tenant_id: 'acme', schedule_id: 'schedule-1', schedule: null },
  ])('%j is a command', (command) => {
    expect(parseCommand(command)).toEqual({ command })
  })

  test('unschedule is a schedule that becomes null', () => {
    const command = { type: 'schedule', tenant_id: 'acme', schedule_id: 'schedule-1', schedule: null }
    expect(parseCommand({ type: 'unschedule', tenant_id: 'acme', schedule_id: 'schedule-1' })).toEqual({ command })
  })

  test.each<[string, unknown, string]>([
    ['a job id, which nobody may choose', { ...SUBMIT, job_id: 'batch-0123456789abcdef0123' }, 'job_id: leave it out'],
    ['a number', 7, 'expected a JSON object, got 7'],
    ['null', null, 'expected a JSON object, got null'],
    ['no tenant', { ...SUBMIT, tenant_id: undefined }, 'tenant_id'],
    ['an empty tenant', { ...SUBMIT, tenant_id: '' }, 'tenant_id'],
    ['a tenant that is no text', { ...SUBMIT, tenant_id: 5 }, 'tenant_id'],
    [
      'another type',
      { ...SUBMIT, type: 'pause' },
      'type: expected submit, cancel, schedule or unschedule, got "pause"',
    ],
    ['no type', { tenant_id: 'acme', job: BODY }, 'type: expected submit, cancel, schedule or unschedule, got nothing'],
    ['no job', { ...SUBMIT, job: undefined }, 'job: expected an object'],
    ['a job as text', { ...SUBMIT, job: JSON.stringify(BODY) }, 'job: expected an object'],
    ['a key that is no text', { ...SUBMIT, idempotency_key: 5 }, 'idempotency_key'],
    ['a cancel of nothing', { type: 'cancel', tenant_id: 'acme' }, 'job_id'],
    ['a cancel of a number', { type: 'cancel', tenant_id: 'acme', job_id: 5 }, 'job_id'],
    ['a change of no schedule', { type: 'schedule', tenant_id: 'acme', schedule: null }, 'schedule_id'],
    ['no change', { type: 'schedule', tenant_id: 'acme', schedule_id: 'schedule-1' }, 'schedule: expected'],
    [
      'a change id that is no text',
      { type: 'schedule', tenant_id: 'acme', schedule_id: 's', schedule: {}, change_id: 1 },
      'change_id',
    ],
    ['a plan that is no object', { ...SUBMIT, plan: 'soon' }, 'plan'],
    ['a plan without rows', { ...SUBMIT, plan: {} }, 'plan'],
    ['a plan without columns', { ...SUBMIT, plan: { total_rows: '1', model_version: 1 } }, 'plan'],
  ])('%s is none, and the reason says what is expected', (_, value, reason) => {
    const parsed = parseCommand(value)
    expect('reason' in parsed && parsed.reason).toContain(reason)
  })

  test('any value gets an answer', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const parsed = parseCommand(value)
        expect('reason' in parsed && parsed.reason.length > 0).toBe(true)
      }),
    )
  })
})

describe('submittedJobId', () => {
  const origin = { topic: 'inference.commands.v1', partition: 3, offset: 12n }

  test('follows from the tenant and the key, wherever the record lies', () => {
    const elsewhere = { ...origin, partition: 4, offset: 99n }
    const command = { ...SUBMIT, idempotency_key: 'k1' }
    expect(submittedJobId(command, origin)).toBe(jobIdOfKey('acme', 'k1'))
    expect(submittedJobId(command, elsewhere)).toBe(jobIdOfKey('acme', 'k1'))
    expect(submittedJobId({ ...command, tenant_id: 'other' }, origin)).not.toBe(jobIdOfKey('acme', 'k1'))
  })

  test('else from the place of the record', () => {
    expect(submittedJobId(SUBMIT, origin)).toBe(jobIdOfRecord('inference.commands.v1', 3, 12n))
    expect(submittedJobId(SUBMIT, { ...origin, offset: 13n })).not.toBe(submittedJobId(SUBMIT, origin))
  })
})

describe('newJob', () => {
  test('is the specification, waiting', () => {
    const job = newJob(SUBMIT, 'batch-1', DEFAULTS, 5_000)
    const parsed = parseJob(BODY, DEFAULTS)
    expect(specOf(job)).toEqual('spec' in parsed && parsed.spec)
    expect(job).toMatchObject({
      job_id: 'batch-1',
      tenant_id: 'acme',
      status: 'submitted',
      model_id: 'churn',
      model_version: 3,
      request_hash: requestHash(BODY),
      plan: null,
      lanes: [],
      attempt: 0,
      submitted_at: 5_000n,
      started_at: null,
      finished_at: null,
      error: null,
    })
  })

  test('a body that is refused is a failed job with every reason', () => {
    const body = { ...BODY, output: { destination: 'table' }, model_id: 'churn@latest' }
    const job = newJob({ ...SUBMIT, job: body }, 'batch-1', DEFAULTS, 5_000)
    expect(job).toMatchObject({ status: 'failed', finished_at: 5_000n, error: { code: 'invalid_request' } })
    expect(job.error?.message).toContain('/model_id: expected id or id@version, got churn@latest')
    expect(job.error?.message).toContain('/output/table_name: destination table needs table_name')
  })

  test('any object makes a job that can be written to jobs.v1', () => {
    const almost = fc.record(
      { model_id: fc.jsonValue(), input: fc.jsonValue(), output: fc.jsonValue(), config: fc.jsonValue() },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(fc.object(), fc.array(fc.jsonValue()), almost), (body) => {
        const job = newJob({ ...SUBMIT, job: body }, 'batch-1', DEFAULTS, 5_000)
        expect(job.status).toBe('failed')
        expect(jobCodec.decode(jobCodec.encode(job))).toEqual(job)
      }),
    )
  })

  // V8's JSON.parse does not recurse: half a megabyte of brackets arrives as a value, whoever sends it.
  test('a body that is nested without end is refused like any other', () => {
    const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown
    for (const job of [deep, { ...BODY, input: deep }, { ...BODY, schedul: deep }])
      expect(newJob({ ...SUBMIT, job }, 'batch-1', DEFAULTS, 5_000)).toMatchObject({ status: 'failed' })
  })
})

test('a plan from the API keeps 64-bit counts exact', () => {
  const rows = 2n ** 53n + 1n
  const sent = JSON.parse(JSON.stringify({ ...PLAN, total_rows: String(rows), model_version: 3 }))
  expect(plannedByApi(sent)).toEqual({ modelVersion: 3, plan: { ...PLAN, total_rows: rows } })
})
