// progress.v1: the offset ledger. Each role says, for each lane of a job, how far what it did is durable; totals are
// cumulative, so the newest record of a key tells everything. Key: job_id/stage/lane. Partition: murmur2(tenant_id).
import { avroCodec, optional, wordOf } from './avro.ts'
import type { JobError } from './jobs.ts'
import { compactedTopic } from './topic.ts'

export const progressTopic = compactedTopic('progress.v1')

/**
 * - `claim`: a reader says that it is about to run this attempt; the first claim in the log wins (lane -1)
 * - `read`: rows that are in Kafka (lane -1: the attempt as a whole)
 * - `score`, `sink`: rows whose offset the stage has committed
 */
export const STAGES = ['claim', 'read', 'score', 'sink'] as const
export type Stage = (typeof STAGES)[number]

/**
 * Of the read of a job with `input.key_column`: where it stands. It is written in one Kafka transaction with the chunks
 * that it counts, so whoever takes the read over goes on from exactly what is in the lanes.
 */
export interface ReadPosition {
  /** The key of the last row in Kafka, as the source writes it; null before the first. Every row up to it is in. */
  key: string | null
  /** What each lane has of the attempt. */
  lanes: LaneTotals[]
  /** A reader is at it, or died at it: one that stops orderly lets go. */
  held: boolean
  /** How often a reader was lost while it held the read; bounded by the job's `retry_count`. */
  interruptions: number
}

export interface LaneTotals {
  lane: number
  chunks: bigint
  rows: bigint
  bytes: bigint
}

/** One entry of the ledger. `offset` is the stage's committed offset in its topic (-1 for the reader). */
export interface ProgressEntry {
  job_id: string
  tenant_id: string
  stage: Stage
  /** Of the stage `sink`: which of the job's outputs, from 0; 0 for the others. */
  output: number
  lane: number
  attempt: number
  worker_id: string
  offset: bigint
  chunks: bigint
  rows: bigint
  failed_rows: bigint
  bytes: bigint
  /** Everything of this lane (or, for the reader, of the query) is in these totals. */
  done: boolean
  /** The stage cannot go on; `retriable` asks for another attempt. */
  error: (JobError & { retriable: boolean }) | null
  /** Only of the stage `read`, and only if the read can be resumed. */
  position: ReadPosition | null
  /** Only of the stage `read`: what each lane has of the attempt. Empty where `position` says it. */
  sent: LaneTotals[]
  at: bigint
}

/** The slot of a job's read in the views: the attempt as a whole. */
export const READ_SLOT = 'read/-1'

/** The record's key. A claim's names its worker, so that compaction never removes the first one. */
export function progressKey(entry: ProgressEntry): string {
  return `${entry.job_id}/${entry.stage}/${slot(entry)}`
}

function slot({ stage, attempt, worker_id, output, lane }: ProgressEntry): string | number {
  if (stage === 'claim') return `${attempt}:${worker_id}`
  return stage === 'sink' ? `${output}:${lane}` : lane
}

export const progressCodec = avroCodec<ProgressEntry>({
  type: 'record',
  name: 'ProgressEntry',
  namespace: 'scoreline',
  fields: [
    { name: 'job_id', type: 'string' },
    { name: 'tenant_id', type: 'string' },
    { name: 'stage', ...wordOf(STAGES) },
    { name: 'output', type: 'int' },
    { name: 'lane', type: 'int' },
    { name: 'attempt', type: 'int' },
    { name: 'worker_id', type: 'string' },
    { name: 'offset', type: 'long' },
    { name: 'chunks', type: 'long' },
    { name: 'rows', type: 'long' },
    { name: 'failed_rows', type: 'long' },
    { name: 'bytes', type: 'long' },
    { name: 'done', type: 'boolean' },
    {
      name: 'error',
      type: optional({
        type: 'record',
        name: 'StageError',
        fields: [
          { name: 'code', type: 'string' },
          { name: 'message', type: 'string' },
          { name: 'retriable', type: 'boolean' },
        ],
      } as never),
      default: null,
    },
    {
      name: 'sent',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'LaneTotals',
          fields: [
            { name: 'lane', type: 'int' },
            { name: 'chunks', type: 'long' },
            { name: 'rows', type: 'long' },
            { name: 'bytes', type: 'long' },
          ],
        },
      },
      default: [],
    },
    {
      name: 'position',
      type: optional({
        type: 'record',
        name: 'ReadPosition',
        fields: [
          { name: 'key', type: ['null', 'string'], default: null },
          {
            name: 'lanes',
            type: {
              type: 'array',
              items: 'LaneTotals',
            },
          },
          { name: 'held', type: 'boolean' },
          { name: 'interruptions', type: 'int' },
        ],
      } as never),
      default: null,
    },
    { name: 'at', type: 'long' },
  ],
} as never)
