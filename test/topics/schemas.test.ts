// The schemas of the control topics over time: every version reads what every other one wrote, and a change that would end
// that is found here.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Schema } from 'avsc'
import { describe, expect, test } from 'vitest'
import { SCHEMAS } from '../../docs/schemas/record.ts'
import { avroCodec, fingerprintOf, UnknownSchema, unreadable } from '../../topics/avro.ts'
import { learnSchema, recordedSchemas, schemaOf } from '../../topics/schemas.ts'

const folder = join(import.meta.dirname, '../../topics/schemas')

interface Field {
  readonly name: string
  readonly type: unknown
  readonly default?: unknown
}

/** A record schema that has these fields, as a version of the service might declare it. */
const ticket = (...fields: Field[]) => ({ type: 'record', name: 'Ticket', namespace: 'schemas', fields }) as Schema

const id = { name: 'id', type: 'string' }
const note = { name: 'note', type: ['null', 'string'], default: null }
const state = (...symbols: string[]) => ({ name: 'state', type: { type: 'enum', name: 'State', symbols } })

describe.each(SCHEMAS)('$topic.name', ({ topic, schema: present }) => {
  const recorded = readdirSync(join(folder, topic.name)).map((file) => ({
    file,
    schema: JSON.parse(readFileSync(join(folder, topic.name, file), 'utf8')) as Schema,
  }))

  test('what this version writes is recorded (npm run schemas)', () => {
    expect(recorded.map(({ file }) => file)).toContain(`${fingerprintOf(present)}.avsc`)
  })

  test.each(recorded)(
    '$file is named by its fingerprint, and reads and is read by the present one',
    ({ file, schema }) => {
      expect(file).toBe(`${fingerprintOf(schema)}.avsc`)
      expect(unreadable(schema, present)).toBeNull()
      expect(unreadable(present, schema)).toBeNull()
    },
  )
})

describe('what breaks a reader is said', () => {
  test.each([
    ['a new field without a default', ticket(id), ticket(id, { name: 'note', type: 'string' }), /note/],
    ['a field that others need and is gone', ticket(id, note), ticket(note), /id/],
    ['another type', ticket(id), ticket({ name: 'id', type: 'long' }), /long|string/],
    ['a further symbol of an enum', ticket(state('open')), ticket(state('open', 'shut')), /State/],
  ])('%s', (_, before, after, reason) => {
    expect([unreadable(before, after), unreadable(after, before)].join(' ')).toMatch(reason)
  })

  test.each([
    ['a new field with a default', ticket(id), ticket(id, note)],
    ['a field that is gone and had a default', ticket(id, note), ticket(id)],
    ['another order', ticket(id, note), ticket(note, id)],
  ])('and not %s', (_, before, after) => {
    expect([unreadable(before, after), unreadable(after, before)]).toEqual([null, null])
  })
})

describe('a record of another version', () => {
  const before = avroCodec<{ id: string }>(ticket(id))
  const after = avroCodec<{ id: string; count: bigint; note: string | null }>(
    ticket(id, { name: 'count', type: 'long', default: 7 }, note),
  )

  test('is refused as long as its schema is unknown, with what to do', () => {
    expect(() => before.decode(after.encode({ id: 'a', count: 1n, note: null }))).toThrow(UnknownSchema)
    expect(() => before.decode(after.encode({ id: 'a', count: 1n, note: null }))).toThrow(after.fingerprint)
  })

  test('an older one gets the defaults, a newer one loses what we do not know', () => {
    for (const { fingerprint, schema } of [before, after]) learnSchema(fingerprint, JSON.stringify(schema))
    expect({ ...after.decode(before.encode({ id: 'a' })) }).toEqual({ id: 'a', count: 7n, note: null })
    expect({ ...before.decode(after.encode({ id: 'b', count: -(1n << 60n), note: 'x' })) }).toEqual({ id: 'b' })
  })

  test('nothing that is learnt takes the place of a recorded schema', () => {
    const [fingerprint, schema] = [...recordedSchemas()][0] as [string, string]
    learnSchema(fingerprint, JSON.stringify(before.schema))
    expect(schemaOf(fingerprint)).toBe(schema)
  })
})
