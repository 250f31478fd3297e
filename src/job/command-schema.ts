// What a producer may write to commands.v1, as a schema: published as JSON Schema and, for the Confluent wire format, as
// Avro (docs/schemas). Both follow from the definition of a submission that REST has. Pure.
import type { Schema } from 'avsc'
import Type, { type TSchema } from 'typebox'
import { ScheduleChange } from './schedule-spec.ts'
import { JobRequest } from './spec.ts'

const strict = { additionalProperties: false }
const tenant_id = Type.String({ minLength: 1, description: 'Whose job it is; also the key of the record' })
const schedule_id = Type.String({ description: 'Which schedule: `schedule-` and 20 hex digits' })
const change_id = Type.Optional(
  Type.String({
    description:
      "Any text; the same change is carried out once, and the schedule's record shows it as a sign that it was. A signed change needs one",
  }),
)
const schedule = Type.Object(
  { ...ScheduleChange.properties, job: Type.Optional(JobRequest) },
  { ...strict, minProperties: 1, title: 'ScheduleChange', description: 'What changes; the rest stays as it is' },
)

const COMMANDS = {
  submit: {
    tenant_id,
    idempotency_key: Type.Optional(
      Type.String({
        description:
          'The same key never makes a second job, and the id of the job follows from it. A signed submission needs one; without, each record is a job of its own',
      }),
    ),
    job: JobRequest,
  },
  cancel: { tenant_id, job_id: Type.String({ description: 'Which job: `batch-` and 20 hex digits' }) },
  schedule: { tenant_id, schedule_id, schedule, change_id },
  unschedule: { tenant_id, schedule_id },
} as const

/** JSON Schema of a command in JSON. */
export const CommandSchema = Type.Union(
  Object.entries(COMMANDS).map(([type, fields]) =>
    Type.Object({ type: Type.Literal(type), ...fields }, { ...strict, title: `${type} command` }),
  ),
  { title: 'Command', description: 'A record of commands.v1' },
)

const SCALARS: Readonly<Record<string, string>> = {
  string: 'string',
  integer: 'long',
  number: 'double',
  boolean: 'boolean',
}

/** Avro schema of a command: one record with the fields of all, those of the others null. */
export const commandAvroSchema: Schema = avroOf()

function avroOf(): Schema {
  const fields = { ...COMMANDS.submit, ...COMMANDS.cancel, ...COMMANDS.schedule }
  const named = new Map<object, string>()
  const type = { name: 'type', type: 'string', doc: `One of ${Object.keys(COMMANDS).join(', ')}` }
  const others = Object.entries(fields).map(([name, field]) => avroField(name, field, name !== 'tenant_id', named))
  return { type: 'record', name: 'Command', namespace: 'scoreline', fields: [type, ...others] } as Schema
}

interface JsonSchema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly title?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, TSchema>>
  readonly required?: readonly string[]
  readonly items?: TSchema
}

function avroField(name: string, schema: TSchema, nullable: boolean, named: Map<object, string>): object {
  const { description, enum: words } = schema as JsonSchema
  const doc = [description, words && `One of ${words.join(', ')}`].filter(Boolean).join('. ')
  const type = avroType(name, schema, named)
  return {
    name,
    type: nullable ? ['null', type] : type,
    ...(nullable ? { default: null } : {}),
    ...(doc ? { doc } : {}),
  }
}

/** Words are strings: what they may be is the check's business, which says it better. */
function avroType(name: string, schema: TSchema, named: Map<object, string>): unknown {
  const { type, enum: words, title, properties, required = [], items } = schema as JsonSchema
  if (items) return { type: 'array', items: avroType(name.replace(/s$/, ''), items, named) }
  if (properties) {
    const known = named.get(properties)
    if (known) return known
    const record = title ?? `${name.charAt(0).toUpperCase()}${name.slice(1)}`
    named.set(properties, record)
    const fields = Object.entries(properties).map(([field, of]) =>
      avroField(field, of, !required.includes(field), named),
    )
    return { type: 'record', name: record, fields }
  }
  const scalar = words ? 'string' : SCALARS[type ?? '']
  if (!scalar) throw new TypeError(`expected a field ${name} that Avro can hold, got ${JSON.stringify(schema)}`)
  return scalar
}
