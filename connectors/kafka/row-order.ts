// Which row goes to which partition, and the rows in that order, so that each partition's can be written one after the other.
import type { Keys } from './keys.ts'
import { partitionOf } from './murmur2.ts'

/** Rows of one partition are `rows[starts[p] .. starts[p + 1]]`, ascending. */
export interface RowOrder {
  readonly rows: Int32Array
  readonly starts: Int32Array
}

/** A chunk's rows end before row `end` of the write; those without a key go to the partition `keyless`. */
export interface ChunkRows {
  readonly end: number
  readonly keyless: number
}

export function orderRows(chunks: readonly ChunkRows[], keys: Keys, partitions: number): RowOrder {
  const count = chunks.at(-1)?.end ?? 0
  const partition = new Int32Array(count)
  // Counted one place further on, so that sums up to a partition are where it starts.
  const starts = new Int32Array(partitions + 1)
  const { bytes } = keys.text
  let row = 0
  for (const { end, keyless } of chunks) {
    for (; row < end; row++) {
      const keyed = keys.lengthOf(row) >= 0
      const p = keyed ? partitionOf(partitions, bytes, keys.startOf(row), keys.endOf(row)) : keyless
      partition[row] = p
      starts[p + 1] = (starts[p + 1] as number) + 1
    }
  }
  for (let p = 0; p < partitions; p++) starts[p + 1] = (starts[p + 1] as number) + (starts[p] as number)
  const next = starts.slice()
  const rows = new Int32Array(count)
  for (row = 0; row < count; row++) {
    const p = partition[row] as number
    const at = next[p] as number
    rows[at] = row
    next[p] = at + 1
  }
  return { rows, starts }
}
