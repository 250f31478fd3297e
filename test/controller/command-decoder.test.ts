// Values of commands.v1 as bytes: JSON, Avro of a schema that is known, and what is neither. The schemas of a real registry are
// in test/service/foreign-commands.test.ts.
import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConnectorError } from '../../connectors/connector.ts'
import { CommandDecoder, contentOf } from '../../src/controller/command-decoder.ts'
import { commandAvroSchema } from '../../src/job/command-schema.ts'
import { JobRequest } from '../../src/job/spec.ts'

const JOB = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT 1', connection: null, key_column: 'id' },
  output: null,
  outputs: null,
  config: null,
  webhook: null,
  schedule: null,
}
const COMMAND = {
  type: 'submit',
  tenant_id: 'acme',
  idempotency_key: 'k1',
  job: JOB,
  job_id: null,
  schedule_id: null,
  schedule: null,
  change_id: null,
}

function decoderOf(schemas: Record<number, unknown>): CommandDecoder {
  return new CommandDecoder(async (id) => (id in schemas ? JSON.stringify(schemas[id]) : null))
}

function wire(id: number, schema: unknown, value: unknown): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(id, 1)
  return Buffer.concat([head, avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false }).toBuffer(value)])
}

describe('JSON', () => {
  test.each<[string, Buffer | null]>([
    ['a tombstone', null],
    ['no bytes', Buffer.alloc(0)],
    ['no JSON', Buffer.from('submit')],
    ['other bytes', Buffer.from([0xff, 0xfe])],
  ])('%s is none', async (_, value) => {
    expect(await new CommandDecoder(null).decode(value)).toEqual({ reason: expect.stringMatching(/^expected a JSON/) })
  })

  test('any value', async () => {
    const decoder = new CommandDecoder(null)
    await fc.assert(
      fc.asyncProperty(fc.json(), async (text) => {
        expect(await decoder.decode(Buffer.from(text))).toEqual({ value: JSON.parse(text) })
      }),
    )
  })
})

describe('Avro', () => {
  test('is the JSON that it stands for, without what is null', async () => {
    const decoded = await decoderOf({ 7: commandAvroSchema }).decode(wire(7, commandAvroSchema, COMMAND))
    const job = { model_id: 'churn', input: { source: 'sql', query: 'SELECT 1', key_column: 'id' } }
    expect(decoded).toEqual({ value: { type: 'submit', tenant_id: 'acme', idempotency_key: 'k1', job } })
  })

  test('has every field of a submission', () => {
    const type = avsc.Type.forSchema(commandAvroSchema, { wrapUnions: false }) as avsc.types.RecordType
    const job = type.field('job')?.type as unknown as { types: avsc.types.RecordType[] }
    expect(job.types[1]?.fields.map(({ name }) => name)).toEqual(Object.keys(JobRequest.properties))
  })

  test('of a producer that knows fewer fields, or more, or another order', async () => {
    const schema = {
      type: 'record',
      name: 'Command',
      namespace: 'scoreline',
      fields: [
        { name: 'job_id', type: 'string' },
        { name: 'comment', type: 'string' },
        { name: 'tenant_id', type: 'string' },
        { name: 'type', type: 'string' },
      ],
    }
    const value = wire(8, schema, { job_id: 'batch-1', comment: 'x', tenant_id: 'acme', type: 'cancel' })
    const cancel = { type: 'cancel', tenant_id: 'acme', job_id: 'batch-1' }
    expect(await decoderOf({ 8: schema }).decode(value)).toEqual({ value: cancel })
  })

  test.each<[string, Record<number, unknown>, Buffer, RegExp]>([
    ['a schema that nobody registered', {}, wire(9, commandAvroSchema, COMMAND), /no schema 9; register/],
    ['a schema of something else', { 9: 'string' }, wire(9, 'string', 'x'), /commands\.v1\.avsc.*got schema 9/],
    ['a schema that is none', { 9: { type: 'nonsense' } }, wire(9, 'string', 'x'), /got schema 9/],
    [
      'a body that is cut off',
      { 9: commandAvroSchema },
      wire(9, commandAvroSchema, COMMAND).subarray(0, 20),
      /of schema 9/,
    ],
    ['no body', { 9: commandAvroSchema }, Buffer.from([0, 0, 0, 0, 9]), /of schema 9/],
    ['a header that is cut off', {}, Buffer.from([0, 0, 1]), /schema id of four bytes/],
  ])('with %s is no command, and the reason says so', async (_, schemas, value, reason) => {
    expect(await decoderOf(schemas).decode(value)).toEqual({ reason: expect.stringMatching(reason) })
  })

  test('without a registry is refused, with what to do', async () => {
    const decoded = await new CommandDecoder(null).decode(wire(1, 'string', 'x'))
    expect(decoded).toEqual({ reason: expect.stringContaining('set SCHEMA_REGISTRY_URL, or send JSON') })
  })

  test('is no fault of the record when the registry gives no answer', async () => {
    const away = new ConnectorError('registry_unavailable', 'away', { retriable: true })
    const decoder = new CommandDecoder(() => Promise.reject(away))
    await expect(decoder.decode(wire(1, 'string', 'x'))).rejects.toBe(away)
  })
})

test('what a dead letter shows', () => {
  expect(contentOf(Buffer.from('not JSON'), { reason: '' })).toBe('not JSON')
  expect(contentOf(Buffer.from([0xff, 0xfe]), { reason: '' })).toBeNull()
  expect(contentOf(Buffer.from([0, 1]), { reason: '' })).toBeNull()
  expect(contentOf(Buffer.from([0, 1]), { value: { type: 'x' } })).toBe('{"type":"x"}')
})
