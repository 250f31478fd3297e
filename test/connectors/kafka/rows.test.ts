// Rows of every kind, as Avro and as JSON, against decoders that the project did not write: avsc and JSON.parse.
import avsc from 'avsc'
import fc from 'fast-check'
import { Partitioners } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { avroRows } from '../../../connectors/kafka/avro-rows.ts'
import { avroName, avroProblems, avroSchema } from '../../../connectors/kafka/avro-schema.ts'
import { jsonRows } from '../../../connectors/kafka/json-rows.ts'
import { Keys, keyEncoder } from '../../../connectors/kafka/keys.ts'
import { murmur2, partitionOf } from '../../../connectors/kafka/murmur2.ts'
import type { EncodeRows } from '../../../connectors/kafka/row-encoder.ts'
import { TextBuffer } from '../../../connectors/text/text-buffer.ts'
import type { Column, ColumnBatch, ColumnKind } from '../../../topics/columns.ts'
import { anyValue, batchOf, KINDS, type Value } from '../../topics/vectors.ts'

function columnOf(kind: ColumnKind): Column {
  return kind === 'decimal' ? { name: 'v', kind, precision: 38, scale: 4 } : { name: 'v', kind }
}

function encode(rows: EncodeRows, column: Column, values: readonly Value[]): Buffer[] {
  return encodeBatch(rows, batchOf([{ ...column, values }]))
}

function encodeBatch(rows: EncodeRows, batch: ColumnBatch): Buffer[] {
  const out = new TextBuffer()
  const put = rows(out, batch)
  return Array.from({ length: batch.rows }, (_, row) => {
    put(row)
    return out.take()
  })
}

const bigintLong = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(value)
    return bytes
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
})

function decodeAvro(columns: readonly Column[], bytes: Buffer): Record<string, unknown> {
  expect([...bytes.subarray(0, 5)]).toEqual([0, 0, 0, 1, 44])
  // avsc would read a long with a logical type as a number.
  const schema = JSON.parse(avroSchema(columns).replaceAll(/\{"type":"long","logicalType":"[a-z-]+"\}/g, '"long"'))
  const type = avsc.Type.forSchema(schema, {
    registry: { long: bigintLong },
    wrapUnions: false,
  })
  return { ...type.fromBuffer(bytes.subarray(5)) }
}

/** Values that Avro has no room for are refused; a test of its own says so. */
const LIMITS: Partial<Record<ColumnKind, readonly Value[]>> = {
  date: [0x7fff_ffff, -0x8000_0000],
  timestamp: [(1n << 63n) - 1n, -(1n << 63n)],
  timestamptz: [(1n << 63n) - 1n, -(1n << 63n)],
  decimal: [-(1n << 127n)],
}

/** Kinds whose text is not just any text. */
const SPECIAL_TEXT: Partial<Record<ColumnKind, fc.Arbitrary<Value>>> = {
  json: fc.json(),
  jsonb: fc.json(),
  numeric: fc.constantFrom(null, 'NaN', 'Infinity', '-Infinity', '0', '-12.50', '123456789012345678901234567890.1'),
}

const UUID = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/

/** What avsc gives for a value. */
function inAvro(kind: ColumnKind, value: Value): unknown {
  if (value === null) return null
  if (kind === 'uuid') return (value as string).replace(UUID, '$1-$2-$3-$4-$5')
  return value
}

describe.each(KINDS.map((kind) => [kind]))('%s', (kind) => {
  const column = columnOf(kind)

  test('as Avro', () => {
    const representable = anyValue(kind).filter((value) => !LIMITS[kind]?.includes(value))
    fc.assert(
      fc.property(fc.array(representable, { maxLength: 40 }), (values) => {
        const rows = encode(avroRows([column], 300), column, values)
        const seen = rows.map((row) => {
          const { v } = decodeAvro([column], row)
          if (!Buffer.isBuffer(v)) return v
          if (kind === 'binary') return v.toString('hex')
          return BigInt.asIntN(v.length * 8, BigInt(`0x${v.toString('hex')}`))
        })
        expect(seen).toEqual(values.map((value) => inAvro(kind, value)))
      }),
    )
  })

  test('as JSON', () => {
    const text = SPECIAL_TEXT[kind] ?? anyValue(kind)
    fc.assert(
      fc.property(fc.array(text, { maxLength: 40 }), (values) => {
        const rows = encode(jsonRows([column]), column, values)
        rows.forEach((row, i) => {
          expect(jsonValue(kind, row.toString())).toEqual(inJson(kind, values[i] as Value))
        })
      }),
    )
  })
})

/** What is in the row, with the digits of integers as they are written. */
function jsonValue(kind: ColumnKind, row: string): unknown {
  const { v } = JSON.parse(row)
  if (v === null || kind === 'json' || kind === 'jsonb') return v
  if (kind === 'int64') return BigInt(/^\{"v":(-?\d+)\}$/.exec(row)?.[1] as string)
  if (kind === 'float32' && typeof v === 'number') return Math.fround(v)
  if (kind === 'decimal' && v !== 'NaN') return BigInt(/^-?\d+\.\d{4}$/.exec(v)?.[0].replace('.', '') as string)
  return v
}

function inJson(kind: ColumnKind, value: Value): unknown {
  if (value === null) return null
  if (LIMITS[kind]?.includes(value)) return kind === 'decimal' ? 'NaN' : Number(value) > 0 ? 'infinity' : '-infinity'
  switch (kind) {
    case 'float32':
    case 'float64':
      return Number.isFinite(value) ? value : String(value)
    case 'uuid':
      return inAvro(kind, value)
    case 'binary':
      return Buffer.from(value as string, 'hex').toString('base64')
    case 'json':
    case 'jsonb':
      return JSON.parse(value as string)
    case 'date':
      return isoOf(Number(value) * 86_400_000, 'T.*') ?? expect.stringMatching(/^-?\d{4,}-\d\d-\d\d$/)
    case 'timestamp':
    case 'timestamptz': {
      const micros = value as bigint
      const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
      const zone = kind === 'timestamptz' ? 'Z' : ''
      const end = fraction ? `.${String(fraction).padStart(6, '0')}${zone}` : zone
      const whole = isoOf(Number((micros - fraction) / 1000n), '\\.000Z')
      return whole
        ? whole + end
        : expect.stringMatching(new RegExp(`^-?\\d{4,}-\\d\\d-\\d\\dT[\\d:]{8}${end.replace('.', '\\.')}$`))
    }
    default:
      return value
  }
}

/** As JavaScript's own Date says, without what `end` matches; undefined where it writes years differently or knows none. */
function isoOf(ms: number, end: string): string | undefined {
  if (!(ms >= -62_167_219_200_000 && ms < 253_402_300_800_000)) return undefined
  return new Date(ms).toISOString().replace(new RegExp(`${end}$`), '')
}

test('JSON spells values so that nothing is lost', () => {
  const columns: (Column & { values: Value[] })[] = [
    { name: 'id', kind: 'int64', values: [9_223_372_036_854_775_807n] },
    { name: 'price', kind: 'decimal', precision: 38, scale: 2, values: [12_345_678_901_234_567_890n] },
    { name: 'f', kind: 'float32', values: [0.1] },
    { name: 'nan', kind: 'float64', values: [Number.NaN] },
    { name: 'low', kind: 'float64', values: [Number.NEGATIVE_INFINITY] },
    { name: 'say "hi"', kind: 'utf8', values: ['tab\t, quote ", line\n, ü, \\'] },
    { name: 'doc', kind: 'jsonb', values: ['{"a": [1, 2.50]}'] },
    { name: 'at', kind: 'timestamptz', values: [1_710_500_400_123_456n] },
    { name: 'day', kind: 'date', values: [19_797] },
    { name: 'none', kind: 'utf8', values: [null] },
  ]
  const [row] = encodeBatch(jsonRows(columns), batchOf(columns))
  expect(row?.toString()).toBe(
    '{"id":9223372036854775807,"price":"123456789012345678.90","f":0.1,"nan":"NaN","low":"-Infinity",' +
      '"say \\"hi\\"":"tab\\u0009, quote \\", line\\u000a, ü, \\\\","doc":{"a": [1, 2.50]},' +
      '"at":"2024-03-15T11:00:00.123456Z","day":"2024-03-15","none":null}',
  )
})

describe('Avro', () => {
  const limits = Object.entries(LIMITS).flatMap(([kind, values]) => values.map((value) => [kind as ColumnKind, value]))

  test.each(limits)('has no room for %s %s and says so', (kind, value) => {
    const column = columnOf(kind as ColumnKind)
    expect(() => encode(avroRows([column], 1), column, [value as Value])).toThrow(
      /^column v holds .* Avro cannot store/,
    )
  })

  test('a decimal that Avro does not know is text', () => {
    const column: Column = { name: 'v', kind: 'decimal', precision: 2, scale: 5 }
    const [row] = encode(avroRows([column], 300), column, [-17n])
    expect(decodeAvro([column], row as Buffer)).toEqual({ v: '-0.00017' })
  })

  test('columns get names that Avro allows, and the field tells the column', () => {
    expect(['a', 'größe', 'dense/Softmax:0', '71', 'a b'].map(avroName)).toEqual([
      'a',
      'gr__e',
      'dense_Softmax_0',
      '_71',
      'a_b',
    ])
    expect(JSON.parse(avroSchema([{ name: '71', kind: 'float32' }])).fields).toEqual([
      { name: '_71', doc: '71', type: ['null', 'float'], default: null },
    ])
  })

  test('two columns of one Avro name are a problem', () => {
    const columns: Column[] = [
      { name: 'a b', kind: 'int32' },
      { name: 'a-b', kind: 'int32' },
    ]
    expect(avroProblems(columns)).toMatchObject([{ code: 'column_name_ambiguous', pointer: '/output/columns' }])
  })
})

describe('keys', () => {
  test.each<[Column, Value, string | null]>([
    [{ name: 'k', kind: 'int64' }, -42n, '-42'],
    [{ name: 'k', kind: 'utf8' }, 'a "b"', 'a "b"'],
    [{ name: 'k', kind: 'uuid' }, '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
    [{ name: 'k', kind: 'utf8' }, '', ''],
    [{ name: 'k', kind: 'utf8' }, null, null],
  ])('%o %s → %s', (column, value, key) => {
    const keys = new Keys()
    const before = { ...column, values: ['x'], kind: 'utf8' as const }
    keyEncoder({ keyColumn: 'k', columns: [before] })(keys, batchOf([before]))
    keyEncoder({ keyColumn: 'k', columns: [column] })(keys, batchOf([{ ...column, values: [value, null, value] }]))
    keyEncoder({ keyColumn: null, columns: [column] })(keys, batchOf([{ ...column, values: [value] }]))
    const texts = [0, 1, 2, 3, 4].map((i) =>
      keys.lengthOf(i) < 0 ? null : keys.text.bytes.toString('utf8', keys.startOf(i), keys.endOf(i)),
    )
    expect(texts).toEqual(['x', key, null, key, null])
  })

  test('murmur2 is that of Kafka', () => {
    // Source: UtilsTest.testMurmur2 of Apache Kafka.
    const known = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536, abc: 479470107 }
    for (const [key, hash] of Object.entries(known)) expect(murmur2(Buffer.from(key))).toBe(hash)
  })

  test('a key goes to the partition that other clients choose', () => {
    const partitioner = Partitioners.DefaultPartitioner()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 100 }), (bytes, partitions) => {
        const key = Buffer.from(bytes)
        const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
          partitionErrorCode: 0,
          partitionId,
          leader: 0,
          replicas: [],
          isr: [],
        }))
        expect(partitionOf(partitions, key)).toBe(
          partitioner({ topic: '', partitionMetadata, message: { key, value: null } }),
        )
      }),
    )
  })
})

test.each([
  [
    'float32',
    Float32Array.of(0.5, -1, 0.25, 3, 4, 5),
    [
      [0.5, -1, 0.25],
      [3, 4, 5],
    ],
  ],
  [
    'int64',
    BigInt64Array.of(1n, -2n, 1n << 40n, 4n, 5n, 6n),
    [
      [1n, -2n, 1n << 40n],
      [4n, 5n, 6n],
    ],
  ],
] as const)('a list of %s is an array, in Avro and in JSON', (kind, values, lists) => {
  const columns: Column[] = [{ name: 'v', kind, length: 3 }]
  const batch = { columns, vectors: [{ validity: null, nullCount: 0, values }], rows: 2 }
  expect(encodeBatch(avroRows(columns, 300), batch).map((bytes) => decodeAvro(columns, bytes))).toEqual(
    lists.map((v) => ({ v: [...v] })),
  )
  expect(encodeBatch(jsonRows(columns), batch).map((bytes) => JSON.parse(bytes.toString()))).toEqual(
    lists.map((v) => ({ v: v.map(Number) })),
  )
})
