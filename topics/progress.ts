// progress.v1: the offset ledger. Each role says, for each lane of a job, how far what it did is durable; totals are
// cumulative, so the newest record of a key tells everything. Key: job_id/stage/lane. Partition: murmur2(tenant_id).
import { avroCodec, optional } from './avro.ts'
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
  at: bigint
}

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
    { name: 'stage', type: { type: 'enum', name: 'Stage', symbols: STAGES } },
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
    { name: 'at', type: 'long' },
  ],
} as never)
