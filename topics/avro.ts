// Control records are Avro in single-object encoding: two marker bytes, the 64-bit fingerprint of the writer's schema,
// then the body. No registry is needed to read them. A record of an older or newer schema is resolved to ours, as Avro
// does: fields that we do not know are left out, fields that it does not have get their default.
// Source: Avro specification, "Single-object encoding" and "Schema Resolution".
import avsc from 'avsc'
import { schemaOf } from './schemas.ts'

/** Turns a control record into bytes and back. */
export interface Codec<T> {
  readonly schema: avsc.Schema
  /** Of the schema: 16 hex digits, as they stand in a record. */
  readonly fingerprint: string
  encode(value: T): Buffer
  /**
   * Throws `UnknownSchema` when nothing is known of the schema that the bytes were written with, and `TypeError` when they
   * are no record that can be read with ours.
   */
  decode(bytes: Buffer): T
}

/** A record of a schema that is neither among the recorded ones nor learnt from schemas.v1 yet. */
export class UnknownSchema extends TypeError {
  readonly fingerprint: string

  constructor(name: string, fingerprint: string) {
    super(
      `expected a ${name} of a schema in schemas.v1 or topics/schemas, got one of ${fingerprint}, which is in neither: a build wrote it that never recorded its schema; delete the topic, or use another KAFKA_TOPIC_PREFIX`,
    )
    this.name = 'UnknownSchema'
    this.fingerprint = fingerprint
  }
}

/** 64-bit integers as `bigint`: Kafka offsets and row ids do not fit a JavaScript number. */
const bigintLong = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8)
    buffer.writeBigInt64LE(value)
    return buffer
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
})

const MARKER = Buffer.from([0xc3, 0x01])
const HEADER_BYTES = 10

/** Builds the codec of an Avro record schema. */
export function avroCodec<T>(schema: avsc.Schema): Codec<T> {
  const type = typeOf(schema)
  const fingerprint = fingerprintOf(schema)
  const header = Buffer.concat([MARKER, Buffer.from(fingerprint, 'hex')])
  /** Of the other schemas that records came in. */
  const resolvers = new Map<string, avsc.Resolver>()
  return {
    schema,
    fingerprint,
    encode: (value) => Buffer.concat([header, type.toBuffer(value)]),
    decode: (bytes) => {
      const head = bytes.subarray(0, HEADER_BYTES)
      if (head.length < HEADER_BYTES || !head.subarray(0, MARKER.length).equals(MARKER)) {
        throw new TypeError(
          `expected an Avro single-object record with header ${header.toString('hex')}, got ${head.toString('hex') || 'no bytes'}`,
        )
      }
      const resolver = head.equals(header) ? undefined : resolverFrom(head.toString('hex', MARKER.length))
      try {
        return type.fromBuffer(bytes.subarray(HEADER_BYTES), resolver) as T
      } catch (error) {
        throw new TypeError(`expected an Avro record of this schema: ${(error as Error).message}`, { cause: error })
      }
    },
  }

  function resolverFrom(writer: string): avsc.Resolver {
    const known = resolvers.get(writer)
    if (known) return known
    const written = schemaOf(writer)
    if (written === undefined) throw new UnknownSchema(String(type.name), writer)
    const resolver = resolverOf(type, typeOf(JSON.parse(written)))
    resolvers.set(writer, resolver)
    return resolver
  }
}

/** Why records of one schema cannot be read with another; null if they can. */
export function unreadable(written: avsc.Schema, readWith: avsc.Schema): string | null {
  try {
    resolverOf(typeOf(readWith), typeOf(written))
    return null
  } catch (error) {
    return (error as Error).message
  }
}

function typeOf(schema: avsc.Schema): avsc.Type {
  // A registry of its own: named types are put into it.
  return avsc.Type.forSchema(schema, { registry: { long: bigintLong }, wrapUnions: false })
}

function resolverOf(reader: avsc.Type, writer: avsc.Type): avsc.Resolver {
  try {
    return reader.createResolver(writer)
  } catch (error) {
    const message = `expected a record that can be read as ${reader.name}, got ${writer.name}: ${(error as Error).message}`
    throw new TypeError(message, { cause: error })
  }
}

/** CRC-64-AVRO of a schema's canonical form, in hex digits as a record has it. */
export function fingerprintOf(schema: avsc.Schema): string {
  return rabinFingerprint(canonicalForm(schema)).toString('hex')
}

/** A nullable field that is absent by default. */
export function optional(type: avsc.Schema): avsc.Schema {
  return ['null', type] as avsc.Schema
}

/**
 * The type of a field that has one of these words. It is no Avro enum: there a reader fails on a symbol that a later
 * version adds, or takes it for another and loses it when it writes the record again.
 */
export function wordOf(words: readonly string[]): { type: 'string'; doc: string } {
  return { type: 'string', doc: `One of ${words.join(', ')}; later versions may have more` }
}

function canonicalForm(schema: avsc.Schema): string {
  // `schema()` of a type without attributes is the specification's parsing canonical form.
  return JSON.stringify(avsc.Type.forSchema(schema, { wrapUnions: false }).schema())
}

const EMPTY = 0xc15d213aa4d7a795n
const TABLE: readonly bigint[] = Array.from({ length: 256 }, (_, i) => {
  let fingerprint = BigInt(i)
  for (let bit = 0; bit < 8; bit++) fingerprint = (fingerprint >> 1n) ^ (fingerprint & 1n ? EMPTY : 0n)
  return fingerprint
})

/** CRC-64-AVRO of a text, little-endian, as the specification defines it. */
function rabinFingerprint(text: string): Buffer {
  let fingerprint = EMPTY
  for (const byte of Buffer.from(text)) {
    fingerprint = (fingerprint >> 8n) ^ (TABLE[Number((fingerprint ^ BigInt(byte)) & 0xffn)] as bigint)
  }
  const out = Buffer.alloc(8)
  out.writeBigUInt64LE(fingerprint)
  return out
}
