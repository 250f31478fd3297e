// From a job's output to the bytes and the name of its part files. What is null in it was left open by an older release:
// Parquet with ZSTD, plain CSV, texts as they are. Today's defaults are filled in when a job is accepted (src/job/spec.ts).
import type { Column } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'
import { csvEncoder } from './csv.ts'
import type { PartEncoder } from './encoder.ts'
import { gzipEncoder } from './gzip.ts'
import { parquetEncoder } from './parquet.ts'
import { isParquetCompression } from './parquet-codec.ts'

/** How names of part files end. Readers know a compressed CSV by it; Parquet says inside what compresses its pages. */
export function extension({ destination, compression }: JobOutput): string {
  return destination === 'csv' && compression === 'gzip' ? 'csv.gz' : destination
}

/** `groupChunks`: how many chunks a row group of Parquet has. */
export function partEncoder(output: JobOutput, columns: readonly Column[], groupChunks: number): PartEncoder {
  const { destination, compression } = output
  if (destination === 'csv') {
    const csv = csvEncoder(columns, { formulaGuard: output.formula_guard ?? false })
    return compression === 'gzip' ? gzipEncoder(csv) : csv
  }
  const codec = compression ?? 'zstd'
  if (!isParquetCompression(codec)) throw new TypeError(`expected zstd, snappy or none for parquet, got ${codec}`)
  return parquetEncoder(columns, groupChunks, codec)
}
