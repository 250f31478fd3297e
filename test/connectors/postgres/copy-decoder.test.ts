// The COPY stream may be cut anywhere, and batches have exactly the rows asked for.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CopyDecoder } from '../../../connectors/postgres/copy-decoder.ts'
import { COPY_HEADER, encodeRows } from '../../../connectors/postgres/copy-encoder.ts'
import type { Column, ColumnBatch } from '../../../topics/columns.ts'

const COLUMNS: Column[] = [
  { name: 'id', kind: 'int64' },
  { name: 'text', kind: 'utf8' },
]

function batchOf(rows: readonly { id: bigint; text: string | null }[]): ColumnBatch {
  const texts = rows.map((row) => Buffer.from(row.text ?? ''))
  const offsets = new Int32Array(rows.length + 1)
  const validity = new Uint8Array((rows.length + 7) >> 3)
  texts.forEach((text, i) => {
    offsets[i + 1] = (offsets[i] ?? 0) + text.length
    if (rows[i]?.text !== null) validity[i >> 3] = (validity[i >> 3] ?? 0) | (1 << (i & 7))
  })
  return {
    columns: COLUMNS,
    rows: rows.length,
    vectors: [
      { validity: null, nullCount: 0, values: BigInt64Array.from(rows, (row) => row.id) },
      { validity, nullCount: rows.filter((row) => row.text === null).length, offsets, data: Buffer.concat(texts) },
    ],
  }
}

function rowsOf(batch: ColumnBatch): { id: bigint; text: string | null }[] {
  const [ids, texts] = batch.vectors
  if (!ids || !texts || 'offsets' in ids || !('offsets' in texts))
    throw new Error('expected an int64 and a text column')
  return Array.from({ length: batch.rows }, (_, i) => {
    const valid = texts.validity === null || ((texts.validity[i >> 3] ?? 0) >> (i & 7)) & 1
    const text = Buffer.from(texts.data.subarray(texts.offsets[i], texts.offsets[i + 1])).toString()
    return { id: ids.values[i] as bigint, text: valid ? text : null }
  })
}

const FRAME = 5
const row = fc.record({
  id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  text: fc.option(fc.string({ maxLength: 100, unit: 'binary' })),
})

test('rows come back whatever the pieces are', () => {
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 50 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
      (rows, chunkRows, pieces) => {
        const stream = Buffer.concat([
          COPY_HEADER.subarray(FRAME),
          encodeRows(batchOf(rows)).subarray(FRAME),
          Buffer.from([0xff, 0xff]),
        ])
        const decoder = new CopyDecoder(COLUMNS, chunkRows)
        for (let at = 0, i = 0; at < stream.length; i++) {
          const piece = Buffer.from(stream.subarray(at, at + (pieces[i % pieces.length] ?? 1)))
          const view = new DataView(piece.buffer, piece.byteOffset, piece.length)
          decoder.push(piece, view, 0, piece.length)
          decoder.flush(piece, view)
          at += piece.length
        }
        decoder.end()
        const batches = decoder.batches
        expect(batches.flatMap(rowsOf)).toEqual(rows)
        expect(batches.slice(0, -1).every((batch) => batch.rows === chunkRows)).toBe(true)
        expect(batches.length).toBe(Math.ceil(rows.length / chunkRows))
      },
    ),
  )
})

test('a stream that ends within a row, or is none, is an error', () => {
  const push = (decoder: CopyDecoder, bytes: Buffer) =>
    decoder.push(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)
  const decoder = new CopyDecoder(COLUMNS, 10)
  push(decoder, Buffer.from(COPY_HEADER.subarray(FRAME)))
  expect(() => decoder.end()).toThrow(/within a row/)
  expect(() => push(decoder, Buffer.from([0, 3, 0, 0, 0, 0]))).toThrow(/rows of 2 columns, got 3/)
  expect(() => push(new CopyDecoder(COLUMNS, 10), Buffer.alloc(30))).toThrow(/signature/)
})
