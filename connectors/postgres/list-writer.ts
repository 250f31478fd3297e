// Lists → COPY BINARY fields: arrays of one dimension without NULL. Source: PostgreSQL, array_recv() in
// src/backend/utils/adt/arrayfuncs.c: dimensions, whether there are NULLs, the elements' type, then of each dimension its
// length and lower bound, then the elements, each behind its length like a field.
import type { Column, FixedVector } from '../../topics/columns.ts'
import type { ColumnWriter, Output } from './column-writers.ts'
import { oidOf } from './types.ts'

const HEAD_BYTES = 20

/** Writer of a list column; `length` elements a row. */
export function listWriter({ kind }: Column, length: number, values: FixedVector['values']): ColumnWriter {
  const width = HEAD_BYTES + length * (4 + values.BYTES_PER_ELEMENT)
  const oid = oidOf(kind)
  const putElements = elementWriter(values)
  return {
    validity: null,
    width,
    write({ view, positions, rows }) {
      for (let i = 0; i < rows; i++) {
        const at = positions[i] as number
        view.setInt32(at, width)
        view.setInt32(at + 4, 1)
        view.setInt32(at + 8, 0)
        view.setInt32(at + 12, oid)
        view.setInt32(at + 16, length)
        view.setInt32(at + 20, 1)
        putElements(view, at + 4 + HEAD_BYTES, i * length, (i + 1) * length)
        positions[i] = at + 4 + width
      }
    },
  }
}

/** Writes the values `from .. to`, each behind its length. */
type ElementWriter = (view: Output['view'], start: number, from: number, to: number) => void

/** One loop for each width. */
function elementWriter({
  buffer,
  byteOffset,
  byteLength,
  BYTES_PER_ELEMENT: width,
}: FixedVector['values']): ElementWriter {
  const source = new DataView(buffer, byteOffset, byteLength)
  if (width === 2) {
    return (view, start, from, to) => {
      for (let i = from, at = start; i < to; i++, at += 6) {
        view.setInt32(at, 2)
        view.setUint16(at + 4, source.getUint16(2 * i, true))
      }
    }
  }
  if (width === 4) {
    return (view, start, from, to) => {
      for (let i = from, at = start; i < to; i++, at += 8) {
        view.setInt32(at, 4)
        view.setUint32(at + 4, source.getUint32(4 * i, true))
      }
    }
  }
  return (view, start, from, to) => {
    for (let i = from, at = start; i < to; i++, at += 12) {
      view.setInt32(at, 8)
      view.setUint32(at + 4, source.getUint32(8 * i + 4, true))
      view.setUint32(at + 8, source.getUint32(8 * i, true))
    }
  }
}
