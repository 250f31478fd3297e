// What the formats are to the lane writer: chunks go in one by one, bytes of the part file come out.
import type { ColumnBatch } from '../../topics/columns.ts'

/** Encodes one part file. The same chunks give the same bytes: no clock, no chance, no host in them. */
export interface PartEncoder {
  /**
   * Takes a chunk; returns bytes for the file, often none yet. They are not used again by the encoder. A promise means
   * that another thread works on them: the next call waits for it, so that what is held in memory stays bounded.
   */
  add(batch: ColumnBatch): Uint8Array | Promise<Uint8Array>
  /** The rest of the file, with what the format puts at its end. A file without a chunk is valid and has no row. */
  finish(): Uint8Array | Promise<Uint8Array>
}

/** An encoder that does all its work in the call. */
export interface SyncPartEncoder extends PartEncoder {
  add(batch: ColumnBatch): Uint8Array
  finish(): Uint8Array
}
