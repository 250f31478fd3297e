// Control records in Avro's single-object encoding: what goes in comes out, other bytes are refused, and the bytes are
// those that another implementation writes (the constants were computed with Python's fastavro 1.13.1).
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { avroCodec, optional } from '../../topics/avro.ts'
import type { Column } from '../../topics/columns.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import {
  COMPRESSIONS,
  DESTINATIONS,
  JOB_STATUSES,
  type JobOutput,
  type JobPlan,
  type JobSnapshot,
  WEBHOOK_EVENTS,
  WEBHOOK_STATES,
  WRITE_MODES,
} from '../../topics/jobs.ts'
import { progressCodec } from '../../topics/progress.ts'
import { readCodec } from '../../topics/reads.ts'
import { OVERLAP_POLICIES, type Schedule, SKIP_REASONS, scheduleCodec } from '../../topics/schedules.ts'
import { entry, running, submitted } from '../job/snapshots.ts'
import { KINDS } from './vectors.ts'

const LONG_MIN = -(1n << 63n)
const LONG_MAX = (1n << 63n) - 1n

interface Order {
  id: bigint
  kind: 'A' | 'B'
  again: 'A' | 'B' | null
}

const orderCodec = avroCodec<Order>({
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  doc: 'no part of the canonical form',
  fields: [
    { name: 'id', type: 'long', doc: 'neither is this' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } },
    { name: 'again', type: optional('Kind'), default: null },
  ],
})

describe('as another implementation writes it', () => {
  test.each([
    ['int', 1, '8f5c393f1ad57572'],
    ['string', 'a', 'c70345637248018f'],
    ['long', 1n, 'b71df49344e154d0'],
  ] as const)('the fingerprint of "%s"', (schema, value, fingerprint) => {
    expect(avroCodec(schema).encode(value).subarray(0, 10).toString('hex')).toBe(`c301${fingerprint}`)
  })

  test('a record with names, attributes and a reference', () => {
    const bytes = orderCodec.encode({ id: LONG_MIN, kind: 'B', again: 'A' })
    expect(bytes.toString('hex')).toBe('c301521ed0127c3b9160ffffffffffffffffff01020200')
  })
})

const long = fc.bigInt({ min: LONG_MIN, max: LONG_MAX })
const int = fc.integer()
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null })

const anyColumn: fc.Arbitrary<Column> = fc.record({
  name: fc.string({ unit: 'grapheme' }),
  kind: fc.constantFrom(...KINDS),
  precision: fc.nat(38),
  scale: fc.nat(38),
  length: fc.nat(),
  sqlType: fc.string(),
})

const anyPlan: fc.Arbitrary<JobPlan> = fc.record({
  model_sha256: fc.string(),
  query_columns: fc.array(anyColumn, { maxLength: 4 }),
  scored_columns: fc.array(anyColumn, { maxLength: 4 }),
  output_columns: fc.array(fc.array(anyColumn, { maxLength: 3 }), { maxLength: 3 }),
  total_rows: long,
  rows_estimated: fc.boolean(),
})

const anyOutput: fc.Arbitrary<JobOutput> = fc.record({
  destination: fc.constantFrom(...DESTINATIONS),
  connection: maybe(fc.string()),
  table_name: maybe(fc.string()),
  path: maybe(fc.string()),
  topic: maybe(fc.string()),
  format: maybe(fc.constantFrom('avro' as const, 'json' as const)),
  mode: fc.constantFrom(...WRITE_MODES),
  columns: maybe(fc.array(fc.string())),
  key_columns: maybe(fc.array(fc.string())),
  compression: maybe(fc.constantFrom(...COMPRESSIONS)),
  target_file_mb: maybe(int),
  formula_guard: maybe(fc.boolean()),
})

const anySnapshot: fc.Arbitrary<JobSnapshot> = fc.record({
  job_id: fc.string(),
  tenant_id: fc.string({ unit: 'grapheme' }),
  schedule_id: maybe(fc.string()),
  status: fc.constantFrom(...JOB_STATUSES),
  model_id: fc.string(),
  model_version: maybe(int),
  input: fc.record({
    source: fc.constant('sql' as const),
    query: fc.string({ unit: 'grapheme' }),
    connection: fc.string(),
    key_column: maybe(fc.string()),
  }),
  outputs: fc.array(anyOutput, { maxLength: 3 }),
  config: fc.record({
    batch_size: int,
    parallelism: int,
    max_memory_gb: fc.double(),
    timeout_minutes: fc.double(),
    retry_count: int,
    accelerator: fc.constantFrom('cpu' as const, 'gpu' as const, 'auto' as const),
    max_failed_rows: int,
  }),
  request_hash: fc.string(),
  plan: maybe(anyPlan),
  lanes: fc.array(int),
  pool: fc.constantFrom('cpu' as const, 'gpu' as const),
  waiting_for: fc.option(fc.record({ code: fc.string(), message: fc.string(), since: long })),
  past_waits: fc.array(fc.record({ code: fc.string(), message: fc.string(), since: long, until: long }), {
    maxLength: 3,
  }),
  history: fc.array(fc.record({ status: fc.constantFrom(...JOB_STATUSES), attempt: int, at: long }), { maxLength: 3 }),
  attempt: int,
  failed_attempts: fc.array(fc.record({ attempt: int, code: fc.string(), message: fc.string(), at: long }), {
    maxLength: 3,
  }),
  prepared_attempt: int,
  submitted_at: long,
  started_at: maybe(long),
  finished_at: maybe(long),
  read_rows: long,
  processed_rows: long,
  written_rows: long,
  failed_rows: long,
  output_rows: fc.array(long, { maxLength: 3 }),
  results: fc.array(fc.record({ location: fc.string(), rows: long, bytes: long }), { maxLength: 3 }),
  error: maybe(fc.record({ code: fc.string(), message: fc.string({ unit: 'grapheme' }) })),
  webhook: maybe(
    fc.record({
      url: fc.webUrl(),
      events: fc.subarray([...WEBHOOK_EVENTS]),
      state: fc.constantFrom(...WEBHOOK_STATES),
      attempts: int,
      last_attempt_at: maybe(long),
      next_attempt_at: maybe(long),
      last_error: maybe(fc.string()),
    }),
  ),
})

const anySchedule: fc.Arbitrary<Schedule> = fc.record({
  schedule_id: fc.string(),
  tenant_id: fc.string({ unit: 'grapheme' }),
  cron: fc.string(),
  timezone: fc.string(),
  enabled: fc.boolean(),
  overlap: fc.constantFrom(...OVERLAP_POLICIES),
  catchup_minutes: int,
  job: fc.json(),
  request_hash: fc.string(),
  created_at: long,
  last_fired_at: maybe(long),
  last_job_id: maybe(fc.string()),
  last_skipped: maybe(fc.record({ fire_at: long, reason: fc.constantFrom(...SKIP_REASONS) })),
  next_fire_at: maybe(long),
  waiting_fire_at: maybe(long),
  change_id: maybe(fc.string()),
  recent_changes: fc.array(fc.string()),
  recent_firings: fc.array(
    fc.record({ fire_at: long, job_id: maybe(fc.string()), skipped: maybe(fc.constantFrom(...SKIP_REASONS)) }),
    { maxLength: 3 },
  ),
})

describe('what goes in comes out', () => {
  test('any schedule', () => {
    fc.assert(
      fc.property(anySchedule, (schedule) => {
        expect(scheduleCodec.decode(scheduleCodec.encode(schedule))).toEqual(schedule)
      }),
    )
  })

  test('any snapshot of a job', () => {
    fc.assert(
      fc.property(anySnapshot, (job) => {
        expect(jobCodec.decode(jobCodec.encode(job))).toEqual(job)
      }),
    )
  })

  test('a column that declares no precision, scale or SQL type', () => {
    const plan: JobPlan = { ...(running().plan as JobPlan), output_columns: [[{ name: 'score', kind: 'float32' }]] }
    expect(jobCodec.decode(jobCodec.encode(running({ plan }))).plan).toEqual(plan)
  })

  test.each([LONG_MIN, LONG_MIN + 1n, -1n, 0n, 1n, (1n << 53n) + 1n, LONG_MAX])('the offset %d', (offset) => {
    const bytes = progressCodec.encode(entry({ stage: 'sink', lane: 3, offset }))
    expect(progressCodec.decode(bytes)).toEqual(entry({ stage: 'sink', lane: 3, offset }))
  })

  test.each([LONG_MIN - 1n, LONG_MAX + 1n, 5 as unknown as bigint])('%s is no long, and is not written', (offset) => {
    expect(() => progressCodec.encode(entry({ stage: 'sink', lane: 3, offset }))).toThrow()
  })
})

describe('bytes of another schema are a TypeError', () => {
  const other = readCodec.encode({ job_id: 'batch-1', tenant_id: 'acme', attempt: 1 })

  test('a record of another topic, with both names in the message', () => {
    const message = /^expected a record that can be read as scoreline.JobSnapshot, got scoreline.ReadTask: /
    expect(() => jobCodec.decode(other)).toThrow(message)
  })

  test('no record at all, with the header that was expected in the message', () => {
    const header = jobCodec.encode(submitted()).subarray(0, 10).toString('hex')
    const message = `expected an Avro single-object record with header ${header}, got 7b7d`
    expect(() => jobCodec.decode(Buffer.from('{}'))).toThrow(new TypeError(message))
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['a lone marker', Buffer.from('c301', 'hex')],
    ['JSON', Buffer.from(JSON.stringify({ job_id: 'batch-1' }))],
    ['the Confluent wire format', Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), other.subarray(10)])],
  ])('%s', (_, bytes) => {
    expect(() => jobCodec.decode(bytes)).toThrow(TypeError)
  })

  test('any random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(() => jobCodec.decode(Buffer.from(bytes))).toThrow(TypeError)
      }),
    )
  })

  test('a record that is cut short, or goes on after its end', () => {
    for (let length = 10; length < other.length; length++)
      expect(() => readCodec.decode(other.subarray(0, length))).toThrow(TypeError)
    expect(() => readCodec.decode(Buffer.concat([other, Buffer.from([0])]))).toThrow(TypeError)
  })
})
