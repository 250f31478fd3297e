// Control records are Avro in single-object encoding: two marker bytes, the 64-bit fingerprint of the writer's schema,
// then the body. No registry is needed to read them, and a record of another schema is an error instead of nonsense.
// Source: Avro specification, "Single-object encoding".
import avsc from 'avsc'

/** Turns a control record into bytes and back. `decode` throws `TypeError` when the bytes are not of this schema. */
export interface Codec<T> {
  readonly schema: avsc.Schema
  encode(value: T): Buffer
  decode(bytes: Buffer): T
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
  const type = avsc.Type.forSchema(schema, { registry: { long: bigintLong }, wrapUnions: false })
  const header = Buffer.concat([MARKER, rabinFingerprint(canonicalForm(schema))])
  return {
    schema,
    encode: (value) => Buffer.concat([header, type.toBuffer(value)]),
    decode: (bytes) => {
      if (bytes.length < HEADER_BYTES || !bytes.subarray(0, HEADER_BYTES).equals(header)) {
        throw new TypeError(
          `expected an Avro single-object record with header ${header.toString('hex')}, got ${bytes.subarray(0, HEADER_BYTES).toString('hex') || 'no bytes'}`,
        )
      }
      try {
        return type.fromBuffer(bytes.subarray(HEADER_BYTES)) as T
      } catch (error) {
        throw new TypeError(`expected an Avro record of this schema: ${(error as Error).message}`, { cause: error })
      }
    },
  }
}

/** A nullable field that is absent by default. */
export function optional(type: avsc.Schema): avsc.Schema {
  return ['null', type] as avsc.Schema
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
