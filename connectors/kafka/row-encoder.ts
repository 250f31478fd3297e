// What the formats are to the lane writer: a chunk's columns in, and out comes how to append any row of it to a buffer.
import type { ColumnBatch } from '../../topics/columns.ts'
import type { TextBuffer } from '../text/text-buffer.ts'

/** Appends the value of a row. */
export type PutRow = (row: number) => void

/** How the rows of a batch are appended to the buffer. */
export type EncodeRows = (out: TextBuffer, batch: ColumnBatch) => PutRow
