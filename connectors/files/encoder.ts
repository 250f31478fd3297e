// What both formats are to the lane writer: chunks go in one by one, bytes of the part file come out.
import type { ColumnBatch } from '../../topics/columns.ts'

/** Encodes one part file. The same chunks give the same bytes: no clock, no chance, no host in them. */
export interface PartEncoder {
  /** Takes a chunk; returns bytes for the file, often none yet. They are not used again by the encoder. */
  add(batch: ColumnBatch): Uint8Array
  /** The rest of the file, with what the format puts at its end. A file without a chunk is valid and has no row. */
  finish(): Uint8Array
}
