// scored.{table,files,kafka}.v1: predictions on their way to a sink. Same lane and same (job, attempt, seq) as the chunk
// they come from. The payload holds the rows that could be scored; those that could not travel in a header.
import { type ChunkHeader, chunkHeaders, parseChunkHeaders, type RawHeaders } from './chunks.ts'
import type { Destination } from './jobs.ts'
import { laneTopic } from './topic.ts'

export const scoredTopics = {
  table: laneTopic('scored.table.v1'),
  files: laneTopic('scored.files.v1'),
  kafka: laneTopic('scored.kafka.v1'),
} as const

export type SinkKind = keyof typeof scoredTopics

/** The scored topic that a destination reads. */
export function sinkKind(destination: Destination): SinkKind {
  return destination === 'parquet' || destination === 'csv' ? 'files' : destination
}

/** A row that could not be scored: its position in the chunk, why, and its input columns as text (null = NULL). */
export interface FailedRow {
  readonly row: number
  readonly reason: string
  readonly input: Readonly<Record<string, string | null>>
}

/** Headers of a scored record. `rows` counts the chunk's rows, failed ones included; the payload has the others. */
export function scoredHeaders(header: ChunkHeader, failed: readonly FailedRow[]): Record<string, string> {
  const headers = chunkHeaders(header)
  return failed.length ? { ...headers, failed: JSON.stringify(failed) } : headers
}

export function parseScoredHeaders(raw: RawHeaders): { header: ChunkHeader; failed: readonly FailedRow[] } {
  const failed = raw.failed
  return {
    header: parseChunkHeaders(raw),
    failed: failed === undefined ? [] : (JSON.parse(failed.toString()) as FailedRow[]),
  }
}
