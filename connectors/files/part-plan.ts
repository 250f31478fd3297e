// How a lane is cut into part files and row groups: by seq alone, from what the job's snapshot says. The clock and the
// data have no say, so that a replay makes the same files again. Pure.
import { type Column, isVariable, valueCount } from '../../topics/columns.ts'

/** Chunks of each part file (a multiple of `groupChunks`) and of each row group in it. */
export interface PartPlan {
  readonly partChunks: number
  readonly groupChunks: number
}

/** Row groups that readers can share out among threads, and small enough to hold in memory for each lane. */
const GROUP_ROWS = 100_000
const GROUP_BYTES = 32 * 1024 ** 2

/**
 * A part is the unit of durability: a sink that crashes scores at most so many rows of a lane again. Beyond 128 MB of
 * raw columns, readers gain nothing from larger files.
 */
const PART_ROWS = 1_000_000
const PART_BYTES = 128 * 1024 ** 2

export function partPlan(chunkRows: number, columns: readonly Column[]): PartPlan {
  const rowBytes = columns.reduce((sum, column) => sum + valueCount(column, 1) * width(column), 0)
  const groupRows = Math.min(GROUP_ROWS, GROUP_BYTES / Math.max(1, rowBytes))
  const groupChunks = Math.max(1, Math.round(groupRows / chunkRows))
  const partRows = Math.min(PART_ROWS, PART_BYTES / Math.max(1, rowBytes))
  const groups = Math.max(1, Math.round(partRows / (groupChunks * chunkRows)))
  return { partChunks: groups * groupChunks, groupChunks }
}

/** The part that a chunk belongs to. */
export function partOf(plan: PartPlan, seq: number): number {
  return Math.floor(seq / plan.partChunks)
}

/** First and last seq of part `k`, when its lane is long enough. */
export function partRange(plan: PartPlan, k: number): { firstSeq: number; lastSeq: number } {
  return { firstSeq: k * plan.partChunks, lastSeq: (k + 1) * plan.partChunks - 1 }
}

/** Bytes of a value, guessed where they vary: the data itself must not move the boundaries. */
function width({ kind }: Column): number {
  if (isVariable(kind)) return kind === 'numeric' ? 16 : kind === 'utf8' ? 32 : 128
  switch (kind) {
    case 'bool':
      return 1
    case 'int16':
      return 2
    case 'int32':
    case 'float32':
    case 'date':
      return 4
    case 'decimal':
    case 'uuid':
      return 16
    default:
      return 8
  }
}
