// Scored chunks and jobs of the file tests.
import type { ScoredChunk, SinkJob } from '../../../connectors/connector.ts'
import type { PartEncoder } from '../../../connectors/files/encoder.ts'
import type { Column, ColumnBatch } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput } from '../../../topics/jobs.ts'
import type { FailedRow } from '../../../topics/scored.ts'
import { batchOf, type Value } from '../batches.ts'

export { batchOf, type ListValue, type Value } from '../batches.ts'

export const SCORES: readonly Column[] = [
  { name: 'customer_id', kind: 'int64' },
  { name: 'name', kind: 'utf8' },
  { name: 'score', kind: 'float32' },
]

/** The file that these chunks become. */
export async function encoded(encoder: PartEncoder, batches: readonly ColumnBatch[]): Promise<Buffer> {
  const bytes: Uint8Array[] = []
  for (const batch of batches) bytes.push(await encoder.add(batch))
  return Buffer.concat([...bytes, await encoder.finish()])
}

/** So many rows that could not be scored. */
export function failedRowsOf(seq: number, count: number): FailedRow[] {
  return Array.from({ length: count }, (_, row) => ({ row, reason: 'score is NULL', input: { id: `${seq}/${row}` } }))
}

/** Chunk `seq` of lane `lane`: ids that no other chunk has, a name that is sometimes NULL. */
export function scoredChunk(lane: number, seq: number, rows: number, failedRows = 0): ScoredChunk {
  const values = Array.from({ length: rows }, (_, i): Value[] => {
    const id = lane * 1_000_000 + seq * 1000 + i
    return [BigInt(id), id % 3 === 0 ? null : `name, "${id}"`, (id % 100) / 100]
  })
  return { seq, batch: batchOf(SCORES, values), failed: failedRowsOf(seq, failedRows) }
}

/** What a test's job has of its own. */
export type JobOptions = Partial<Omit<SinkJob, 'output'>> & { readonly output?: Partial<JobOutput> }

/** A job that writes to `path`. */
export function sinkJob(path: string, options: JobOptions = {}): SinkJob {
  const { output, ...rest } = options
  return {
    jobId: 'batch-a',
    resultId: options.jobId ?? 'batch-a',
    attempt: 1,
    columns: SCORES,
    keyColumn: null,
    chunkRows: 100,
    lanes: [3, 7],
    model: { id: 'churn', version: 2, sha256: 'ab'.repeat(32) },
    ...rest,
    output: {
      ...BARE_OUTPUT,
      destination: 'parquet',
      path,
      mode: 'overwrite',
      // Small files: many parts without many rows.
      target_file_mb: 1,
      ...output,
    },
  }
}
