// What the formats are to the lane writer: a chunk's rows go into one growing buffer, and come out as pieces of it.
import type { ColumnBatch } from '../../topics/columns.ts'
import { TextBuffer } from '../text/text-buffer.ts'

/** Appends the rows of a batch, calling `rowEnd` after each. */
export type EncodeRows = (out: TextBuffer, batch: ColumnBatch, rowEnd: () => void) => void

/** Pieces of one buffer, one for each row; the buffer is used again after `clear`. */
export class Pieces {
  readonly out = new TextBuffer()
  /** Where each piece ends, or -1 - end for a piece that is null. */
  #ends: number[] = []

  get count(): number {
    return this.#ends.length
  }

  get bytes(): number {
    return this.out.length
  }

  /** What was appended since the last end is a piece. */
  end(): void {
    this.#ends.push(this.out.length)
  }

  /** A piece that is null. */
  none(): void {
    this.#ends.push(-1 - this.out.length)
  }

  /** Piece `i` as a view, valid until `clear`; only to be asked for when nothing more is appended. */
  at(i: number): Buffer | null {
    const end = this.#ends[i] as number
    if (end < 0) return null
    const before = i === 0 ? 0 : (this.#ends[i - 1] as number)
    return this.out.bytes.subarray(before < 0 ? -1 - before : before, end)
  }

  clear(): void {
    this.out.length = 0
    this.#ends = []
  }
}
