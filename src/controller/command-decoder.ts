// The value of a record on commands.v1 as data: JSON, or Avro in the Confluent wire format (a zero byte, the schema's id in
// the registry, the body), which is resolved to our schema whatever the producer's version of it is.
import { isUtf8 } from 'node:buffer'
import avsc from 'avsc'
import { commandAvroSchema } from '../job/command-schema.ts'

/** A record's value, or why there is none. */
export type Decoded = { readonly value: unknown } | { readonly reason: string }

const MAGIC = 0
const HEADER_BYTES = 5

/** Asks the schema registry for the Avro schema with an id, as JSON; null if there is none. */
export type SchemaOf = (id: number) => Promise<string | null>

export class CommandDecoder {
  readonly #schemaOf: SchemaOf | null
  readonly #type = avsc.Type.forSchema(commandAvroSchema, { wrapUnions: false })
  /** Schema id → how its records are read, or why they cannot be. Ids are never given twice. */
  readonly #readers = new Map<number, avsc.Resolver | string>()

  /** Null: there is no registry. */
  constructor(schemaOf: SchemaOf | null) {
    this.#schemaOf = schemaOf
  }

  /** Throws `ConnectorError` when the registry gives no answer: no fault of the record, so ask again later. */
  async decode(value: Buffer | null): Promise<Decoded> {
    return value?.[0] === MAGIC ? this.#fromAvro(value) : fromJson(value)
  }

  async #fromAvro(bytes: Buffer): Promise<Decoded> {
    if (!this.#schemaOf)
      return {
        reason: 'Avro in the Confluent wire format needs a schema registry here: set SCHEMA_REGISTRY_URL, or send JSON',
      }
    if (bytes.length < HEADER_BYTES)
      return {
        reason: `expected a zero byte, a schema id of four bytes and an Avro body, got ${bytes.toString('hex')}`,
      }
    const reader = await this.#readerOf(bytes.readUInt32BE(1), this.#schemaOf)
    if (typeof reader === 'string') return { reason: reader }
    try {
      return { value: withoutNulls(this.#type.fromBuffer(bytes.subarray(HEADER_BYTES), reader)) }
    } catch (error) {
      return { reason: `expected an Avro record of schema ${bytes.readUInt32BE(1)}: ${(error as Error).message}` }
    }
  }

  async #readerOf(id: number, schemaOf: SchemaOf): Promise<avsc.Resolver | string> {
    const known = this.#readers.get(id)
    if (known) return known
    const schema = await schemaOf(id)
    // Not remembered: it may be registered yet.
    if (schema === null)
      return `the schema registry has no schema ${id}; register the one that the record was written with`
    const reader = this.#resolver(id, schema)
    this.#readers.set(id, reader)
    return reader
  }

  #resolver(id: number, schema: string): avsc.Resolver | string {
    try {
      return this.#type.createResolver(avsc.Type.forSchema(JSON.parse(schema), { wrapUnions: false }))
    } catch (error) {
      return `expected a schema that can be read as that of a command (docs/schemas/commands.v1.avsc), got schema ${id}: ${(error as Error).message}`
    }
  }
}

function fromJson(value: Buffer | null): Decoded {
  try {
    return { value: JSON.parse(value?.toString() ?? '') }
  } catch (error) {
    return { reason: `expected a JSON object: ${(error as Error).message}` }
  }
}

/** The record as JSON would have it: what is null in Avro is left out. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  const given = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(given.map(([name, field]) => [name, withoutNulls(field)]))
}

/** What a dead letter shows of a value: text as it is, Avro as the JSON that it stands for; null for other bytes. */
export function contentOf(value: Buffer | null, decoded: Decoded): string | null {
  if (!value) return null
  if (value[0] !== MAGIC) return isUtf8(value) ? value.toString() : null
  return 'value' in decoded ? JSON.stringify(decoded.value) : null
}
