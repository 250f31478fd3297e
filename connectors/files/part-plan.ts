// How a lane is cut into part files and row groups: by seq alone, from what the job's snapshot says. The clock and the
// data have no say, so that a replay makes the same files again. Pure.
import type { Column, ColumnKind } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'

/** Chunks of each part file (a multiple of `groupChunks`) and of each row group in it. */
export interface PartPlan {
  readonly partChunks: number
  readonly groupChunks: number
}

/** What of an output decides how large a row becomes in its files. */
export type FileSizing = Pick<JobOutput, 'destination' | 'compression' | 'target_file_mb'>

/** Row groups that readers can share out among threads, and small enough to hold in memory for each lane. */
const GROUP_ROWS = 100_000
const GROUP_BYTES = 32 * 1024 ** 2

const DEFAULT_FILE_MB = 128

/**
 * A part is the unit of durability: what a lane has of an unfinished one stays in Kafka (8 GiB a lane) and is written again
 * after a crash. So much of raw columns at most, however small the files of it may be.
 */
const PART_BYTES = 4 * 1024 ** 3

export function partPlan(chunkRows: number, columns: readonly Column[], output: FileSizing): PartPlan {
  const rowBytes = Math.max(1, sum(columns, rawBytes))
  const fileBytes = (output.target_file_mb ?? DEFAULT_FILE_MB) * 1024 ** 2
  const partRows = Math.min(fileBytes / sum(columns, (column) => fileBytesOf(column, output)), PART_BYTES / rowBytes)
  const groupRows = Math.min(GROUP_ROWS, GROUP_BYTES / rowBytes, partRows)
  const groupChunks = Math.max(1, Math.round(groupRows / chunkRows))
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

/**
 * Bytes of a value in memory, in a Parquet file with ZSTD, and in a CSV file with its separator. Guessed where they vary:
 * the data itself must not move the boundaries. Measured with 100,000 values such as jobs have them: ids one after the
 * other take 1.4 bytes in Parquet, random ones 4.5; random float32 3.6, prices 4.1, names 4.0.
 */
const BYTES: Readonly<Record<ColumnKind, readonly [raw: number, parquet: number, csv: number]>> = {
  bool: [1, 0.2, 6],
  int16: [2, 1, 5],
  int32: [4, 2, 7],
  int64: [8, 2, 9],
  float32: [4, 3.6, 12],
  float64: [8, 5, 16],
  date: [4, 1.5, 11],
  timestamp: [8, 6, 27],
  timestamptz: [8, 6, 29],
  decimal: [16, 4, 10],
  uuid: [16, 16, 37],
  numeric: [16, 6, 12],
  utf8: [32, 6, 20],
  json: [128, 24, 128],
  jsonb: [128, 24, 128],
  binary: [128, 96, 256],
}

/** Snappy saves about half of what ZSTD does; gzip leaves less than half of a CSV file (0.3 to 0.5). */
function fileBytesOf({ kind }: Column, { destination, compression }: FileSizing): number {
  const [raw, parquet, csv] = BYTES[kind]
  if (destination === 'csv') return compression === 'gzip' ? csv * 0.4 : csv
  return compression === 'none' ? raw : compression === 'snappy' ? (raw + parquet) / 2 : parquet
}

function rawBytes({ kind }: Column): number {
  return BYTES[kind][0]
}

function sum(columns: readonly Column[], bytes: (column: Column) => number): number {
  return columns.reduce((total, column) => total + bytes(column), 0)
}
