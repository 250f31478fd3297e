// Batches of columns → COPY BINARY, framed as the protocol's CopyData messages. First the length of every row, then each column
// writes its values in one loop, at the position that each row has reached: no call and no object for a value.
import type { ColumnBatch, Vector } from '../../topics/columns.ts'
import { bit, type ColumnWriter, columnWriter, type Output } from './column-writers.ts'

const FRAME_BYTES = 5

/** CopyData with the header: signature, no flags, no extension. */
export const COPY_HEADER = framed(Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1'))
/** CopyData with the trailer, then CopyDone. */
export const COPY_END = Buffer.concat([framed(Buffer.from([0xff, 0xff])), Buffer.from([0x63, 0, 0, 0, 4])])

function framed(content: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES)
  frame.write('d')
  frame.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([frame, content])
}

/** The batch's rows as one CopyData message. Throws `RangeError` for a `numeric` that is no number. */
export function encodeRows(batch: ColumnBatch): Buffer {
  const { rows } = batch
  const writers = batch.columns.map((column, i) => columnWriter(column, batch.vectors[i] as Vector, rows))
  const positions = new Int32Array(rows)
  const total = layOut(writers, rows, positions)
  const bytes = Buffer.allocUnsafe(total)
  const out: Output = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, total), positions, rows }
  bytes[0] = 0x64
  out.view.setInt32(1, total - 1)
  for (let i = 0; i < rows; i++) {
    const at = positions[i] as number
    out.view.setInt16(at, writers.length)
    positions[i] = at + 2
  }
  for (const writer of writers) writer.write(out)
  return bytes
}

/** Fills `positions` with the row starts and returns the message's length. */
function layOut(writers: readonly ColumnWriter[], rows: number, positions: Int32Array): number {
  let base = 2
  for (const { validity, width } of writers) base += 4 + (validity === null && typeof width === 'number' ? width : 0)
  positions.fill(base)
  for (const { validity, width } of writers) {
    if (typeof width === 'number') {
      if (validity !== null)
        for (let i = 0; i < rows; i++) if (bit(validity, i)) positions[i] = (positions[i] as number) + width
    } else {
      const { offsets, extra } = width
      for (let i = 0; i < rows; i++) {
        if (validity !== null && !bit(validity, i)) continue
        positions[i] = (positions[i] as number) + (offsets[i + 1] as number) - (offsets[i] as number) + extra
      }
    }
  }
  let at = FRAME_BYTES
  for (let i = 0; i < rows; i++) {
    const length = positions[i] as number
    positions[i] = at
    at += length
  }
  // The server refuses messages of 1 GiB.
  if (at >= 0x3fffffff) throw new RangeError('expected less than 1 GiB in a chunk: use a smaller batch_size')
  return at
}
