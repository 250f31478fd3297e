// Jobs of the sink contract and their rows. Each row says which job, attempt, lane, chunk and place it is of, so that a lost one, a
// doubled one and one of a zombie are told apart in the result.
import { randomBytes } from 'node:crypto'
import type { LanePosition, ScoredChunk, SinkJob } from '../../../connectors/connector.ts'
import type { Column } from '../../../topics/columns.ts'
import type { JobOutput } from '../../../topics/jobs.ts'
import { batchOf, type Value } from '../batches.ts'
import type { SinkWorld } from './world.ts'

export const COLUMNS: readonly Column[] = [
  { name: 'job', kind: 'utf8' },
  { name: 'attempt', kind: 'int32' },
  { name: 'lane', kind: 'int32' },
  { name: 'seq', kind: 'int32' },
  { name: 'row', kind: 'int64' },
  { name: 'score', kind: 'float64' },
]

/** Lane → the number of rows of each of its chunks. */
export type Plan = Readonly<Record<number, readonly number[]>>

/** A job with what will be written by it. */
export interface PlannedJob extends SinkJob {
  readonly plan: Plan
}

export function plannedJob(world: SinkWorld, output: JobOutput, plan: Plan, attempt = 1): PlannedJob {
  const jobId = `batch-${randomBytes(6).toString('hex')}`
  return {
    jobId,
    // Not the job's own id: outputs beside the first have such a name.
    resultId: `${jobId}.1`,
    attempt,
    output,
    columns: COLUMNS,
    keyColumn: 'row',
    chunkRows: world.chunkRows,
    lanes: Object.keys(plan).map(Number),
    model: { id: 'churn', version: 2, sha256: 'ab'.repeat(32) },
    plan,
  }
}

/** The same job, read once more. */
export function nextAttempt(job: PlannedJob): PlannedJob {
  return { ...job, attempt: job.attempt + 1 }
}

export function chunkCount(job: PlannedJob, lane: number): number {
  return sizesOf(job, lane).length
}

export function chunk(job: PlannedJob, lane: number, seq: number): ScoredChunk {
  const values = rowsOfChunk(job, lane, seq).map(({ row, score }): Value[] => [
    job.jobId,
    job.attempt,
    lane,
    seq,
    BigInt(row),
    score,
  ])
  const failed = Array.from({ length: seq % 3 }, (_, row) => ({ row, reason: 'told by the contract', input: {} }))
  return { seq, batch: batchOf(COLUMNS, values), failed }
}

/** Chunks `from … to - 1` of a lane. */
export function chunks(job: PlannedJob, lane: number, from: number, to: number): ScoredChunk[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => chunk(job, lane, from + i))
}

/** Where a lane is after so many chunks. */
export function positionAfter(job: PlannedJob, lane: number, count: number, done = false): Partial<LanePosition> {
  const sizes = sizesOf(job, lane).slice(0, count)
  const failed = sizes.reduce((sum, _, seq) => sum + (seq % 3), 0)
  return {
    chunks: count,
    rows: BigInt(sizes.reduce((sum, rows) => sum + rows, 0)),
    failedRows: BigInt(failed),
    done,
  }
}

export function totalRows(job: PlannedJob): bigint {
  return job.lanes.reduce((sum, lane) => sum + BigInt(sizesOf(job, lane).reduce((a, b) => a + b, 0)), 0n)
}

/** All rows of the jobs as `visibleRows` gives them. */
export function rowsOf(...jobs: readonly PlannedJob[]): string[] {
  return jobs.flatMap((job) => job.lanes.flatMap((lane) => rowsOfLane(job, lane, chunkCount(job, lane)))).sort()
}

/** The rows of a lane's first chunks. */
export function rowsOfLane(job: PlannedJob, lane: number, count: number): string[] {
  return Array.from({ length: count }, (_, seq) => rowsOfChunk(job, lane, seq))
    .flat()
    .map(({ seq, row, score }) => line(job.jobId, job.attempt, lane, seq, row, score))
    .sort()
}

/** What can be read, one line each row, in a settled order; null when there is no result. */
export async function visibleRows(world: SinkWorld, output: JobOutput): Promise<string[] | null> {
  const seen = await world.read(output)
  return (
    seen?.map(({ job, attempt, lane, seq, row, score }) => line(job, attempt, lane, seq, row, score)).sort() ?? null
  )
}

function rowsOfChunk(job: PlannedJob, lane: number, seq: number): { seq: number; row: number; score: number }[] {
  const rows = sizesOf(job, lane)[seq] ?? 0
  return Array.from({ length: rows }, (_, row) => ({ seq, row, score: lane + seq / 8 + row / 1024 }))
}

function sizesOf(job: PlannedJob, lane: number): readonly number[] {
  return job.plan[lane] ?? []
}

function line(job: unknown, attempt: unknown, lane: unknown, seq: unknown, row: unknown, score: unknown): string {
  return `job ${job} attempt ${attempt} lane ${lane} chunk ${seq} row ${row} score ${Number(score)}`
}
