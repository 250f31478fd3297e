// The payload of a chunk: columns of every kind to Arrow bytes and back, and what is no such payload.
import { type RecordBatch, RecordBatchReader, RecordBatchStreamWriter, tableFromArrays } from 'apache-arrow'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Column, type ColumnBatch, type ColumnKind, LIST_KINDS, type Vector } from '../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import { python } from '../harness/python.ts'
import { anyPresent, anyValue, batchOf, KINDS, type Value, valuesOf } from './vectors.ts'

function columnOf(kind: ColumnKind): Column {
  const column = { name: `a ${kind} "é"`, kind, sqlType: `${kind}(1)` }
  return kind === 'decimal' ? { ...column, precision: 38, scale: 4 } : column
}

function valuesIn(batch: ColumnBatch): Value[][] {
  return batch.columns.map(({ kind }, i) => valuesOf(kind, batch.vectors[i] as Vector, batch.rows))
}

/** The same bytes at some offset of a larger buffer, as a record lies in a fetch response. */
function at(offset: number, bytes: Uint8Array): Uint8Array {
  const larger = new Uint8Array(offset + bytes.length + 3).fill(0xee)
  larger.set(bytes, offset)
  return larger.subarray(offset, offset + bytes.length)
}

describe('what goes in comes out', () => {
  test.each(KINDS)('%s, with NULLs, wherever the bytes lie', (kind) => {
    fc.assert(
      fc.property(fc.array(anyValue(kind), { maxLength: 70 }), fc.nat(8), (values, offset) => {
        const batch = batchOf([{ ...columnOf(kind), values }])
        const decoded = decodeColumns(at(offset, encodeColumns(batch)))
        expect(decoded.columns).toEqual([columnOf(kind)])
        expect(decoded.rows).toBe(values.length)
        expect(valuesIn(decoded)).toEqual([values])
        const [vector] = decoded.vectors
        expect(vector?.nullCount).toBe(values.filter((value) => value === null).length)
        expect(vector?.validity === null).toBe(vector?.nullCount === 0)
      }),
    )
  })

  test('all kinds side by side, in order', () => {
    const rows = fc.tuple(...KINDS.map(anyValue))
    fc.assert(
      fc.property(fc.array(rows, { maxLength: 20 }), (table) => {
        const columns = KINDS.map((kind, i) => ({ ...columnOf(kind), values: table.map((row) => row[i] as Value) }))
        const decoded = decodeColumns(at(1, encodeColumns(batchOf(columns))))
        expect(decoded.columns).toEqual(KINDS.map(columnOf))
        expect(valuesIn(decoded)).toEqual(columns.map(({ values }) => values))
      }),
      { numRuns: 30 },
    )
  })

  test.each<[ColumnKind, Value[]]>([
    ['int64', [-(1n << 63n), (1n << 63n) - 1n, null, 0n]],
    ['timestamptz', [-(1n << 63n), (1n << 63n) - 1n]],
    ['decimal', [-(1n << 127n), (1n << 127n) - 1n, null, -1n]],
    ['date', [-(2 ** 31), 2 ** 31 - 1]],
    ['float64', [Number.NaN, -0, Number.POSITIVE_INFINITY, Number.MIN_VALUE]],
    ['utf8', ['', null, '\u0000', '😀'.repeat(1_000)]],
    ['bool', [null, null, null]],
  ])('the extremes of %s', (kind, values) => {
    const decoded = decodeColumns(encodeColumns(batchOf([{ name: 'x', kind, values }])))
    expect(valuesIn(decoded)).toEqual([values])
  })

  test('no rows, no columns', () => {
    const empty = decodeColumns(encodeColumns(batchOf(KINDS.map((kind) => ({ ...columnOf(kind), values: [] })))))
    expect(empty).toMatchObject({ columns: KINDS.map(columnOf), rows: 0 })
    expect(valuesIn(empty)).toEqual(KINDS.map(() => []))
    expect(decodeColumns(encodeColumns({ columns: [], vectors: [], rows: 0 }))).toMatchObject({ columns: [], rows: 0 })
  })

  test('vectors that are windows of larger buffers', () => {
    const values = Int32Array.from([9, 1, 2, 9]).subarray(1, 3)
    const text = { validity: null, nullCount: 0, offsets: Int32Array.from([7, 0, 1, 3]).subarray(1) }
    const data = Buffer.from('xxabb').subarray(2)
    const batch: ColumnBatch = {
      columns: [
        { name: 'i', kind: 'int32' },
        { name: 't', kind: 'utf8' },
      ],
      vectors: [
        { validity: null, nullCount: 0, values },
        { ...text, data },
      ],
      rows: 2,
    }
    const decoded = decodeColumns(encodeColumns(batch))
    expect(valuesIn(decoded)).toEqual([
      [1, 2],
      ['a', 'bb'],
    ])
  })
})

describe('lists', () => {
  const lists = (kind: ColumnKind, length: number, values: readonly Value[]) =>
    batchOf([
      { name: 'id', kind: 'int32', values: Array.from({ length: values.length / length }, (_, row) => row) },
      { name: 'list', kind, length, values },
    ])

  test.each(LIST_KINDS)('of %s come out as they went in, chunk after chunk', (kind) => {
    const shape = fc.record({ rows: fc.nat(20), length: fc.integer({ min: 2, max: 9 }), offset: fc.nat(8) })
    const cases = shape.chain((each) => {
      const size = each.rows * each.length
      const values = fc.array(anyPresent(kind), { minLength: size, maxLength: size })
      return fc.tuple(fc.constant(each), values, values)
    })
    fc.assert(
      fc.property(cases, ([{ rows, length, offset }, ...chunks]) => {
        for (const values of chunks) {
          const decoded = decodeColumns(at(offset, encodeColumns(lists(kind, length, values))))
          expect(decoded.columns).toEqual([
            { name: 'id', kind: 'int32' },
            { name: 'list', kind, length },
          ])
          expect(decoded.rows).toBe(rows)
          expect(decoded.vectors[1]).toMatchObject({ validity: null, nullCount: 0 })
          expect(valuesOf(kind, decoded.vectors[1] as Vector, values.length)).toEqual(values)
        }
      }),
    )
  })

  test('of other lengths are not taken for one another, nor for plain columns, though the values are as many', () => {
    const values = Array.from({ length: 12 }, (_, i) => i)
    const plain = batchOf([{ name: 'list', kind: 'float32', values }])
    const payloads = [2, 3, 4, 6].map((length) => encodeColumns(lists('float32', length, values)))
    for (let time = 0; time < 2; time++) {
      expect(
        payloads.map((bytes) => decodeColumns(bytes)).map(({ columns, rows }) => [columns[1]?.length, rows]),
      ).toEqual([2, 3, 4, 6].map((length) => [length, 12 / length]))
      expect(decodeColumns(encodeColumns(plain)).columns).toEqual(plain.columns)
    }
  })

  test('that end too early are a TypeError', () => {
    const good = encodeColumns(lists('float64', 3, [1, 2, 3, 4, 5, 6]))
    for (let length = 0; length < good.length; length++) {
      let batch: ColumnBatch
      try {
        batch = decodeColumns(good.subarray(0, length))
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError)
        continue
      }
      if (batch.rows > 0) expect(valuesOf('float64', batch.vectors[1] as Vector, 6)).toEqual([1, 2, 3, 4, 5, 6])
    }
  })

  test('are lists of one length to PyArrow', async () => {
    const payload = encodeColumns(lists('int16', 3, [1, 2, 3, -4, -5, -6]))
    const seen = await python(
      `
import base64, json, sys
import pyarrow as pa
table = pa.ipc.open_stream(base64.b64decode(sys.argv[1])).read_all()
table.validate(full=True)
print(json.dumps([str(table.schema.field('list').type), table.column('list').to_pylist()]))
`,
      [Buffer.from(payload).toString('base64')],
    )
    expect(seen).toEqual([
      'fixed_size_list<item: int16 not null>[3]',
      [
        [1, 2, 3],
        [-4, -5, -6],
      ],
    ])
  })
})

test('what was decoded does not change when its bytes are overwritten', () => {
  const bytes = encodeColumns(batchOf([{ name: 'x', kind: 'int64', values: [1n, null, 3n] }]))
  const decoded = decodeColumns(bytes)
  bytes.fill(0xff)
  expect(valuesIn(decoded)).toEqual([[1n, null, 3n]])
})

describe('what is no payload is a TypeError', () => {
  const good = encodeColumns(batchOf([{ name: 'x', kind: 'int32', values: [1, 2, 3] }]))

  test.each([
    ['nothing', new Uint8Array(0)],
    ['zeros', new Uint8Array(64)],
    ['JSON', Buffer.from('{"customer_id":1}')],
    ['a text', Buffer.from('neither Arrow nor JSON, only some text that goes on')],
    ['bytes of another Arrow writer', streamOf(tableFromArrays({ x: Int32Array.of(1, 2, 3) }).batches)],
    ['a stream with two batches', streamOf([...RecordBatchReader.from(good), ...RecordBatchReader.from(good)])],
  ])('%s', (_, bytes) => {
    expect(() => decodeColumns(bytes)).toThrow(TypeError)
  })

  // Padding and the end-of-stream marker may be missing, and a stream of a schema alone is one of no rows (whoever reads it
  // compares with the rows of the header): what is accepted beside has every value.
  test('a payload cut short anywhere', () => {
    const accepted: number[] = []
    const notTypeErrors: number[] = []
    for (let length = 0; length < good.length; length++) {
      try {
        const batch = decodeColumns(good.subarray(0, length))
        if (batch.rows > 0 && JSON.stringify(valuesIn(batch)) !== '[[1,2,3]]') accepted.push(length)
      } catch (error) {
        if (!(error instanceof TypeError)) notTypeErrors.push(length)
      }
    }
    expect({ accepted, notTypeErrors }).toEqual({ accepted: [], notTypeErrors: [] })
  })
})

function streamOf(batches: readonly RecordBatch[]): Uint8Array {
  const writer = new RecordBatchStreamWriter()
  for (const batch of batches) writer.write(batch)
  writer.finish()
  return writer.toUint8Array(true)
}
