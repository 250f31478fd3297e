// A whole job on a real store, stopped after any of the changes that it makes there, and gone on with.
import { expect } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { scoredChunk, sinkJob } from './batches.ts'
import { Crash } from './crashing-store.ts'

export const UNLIMITED = Number.MAX_SAFE_INTEGER

/** A job, and what the controller knows of it when a process crashes: nobody repeats a stage that has returned. */
export interface Run extends SinkJob {
  readonly chunks: number
  stage: 'preparing' | 'running' | 'completing'
}

/** A job of two lanes with parts of one chunk. */
export function runOf(path: string, jobId: string, mode: WriteMode, chunks: number): Run {
  const job = sinkJob(path, { jobId, chunkRows: 2_000_000, lanes: [0, 1], output: { mode } })
  return { ...job, chunks, stage: 'preparing' }
}

/** Goes on from the stage that an earlier run has brought the job to. */
export async function run(sink: Sink, job: Run): Promise<void> {
  if (job.stage === 'preparing') {
    await sink.prepare(job)
    job.stage = 'running'
  }
  if (job.stage === 'running') {
    for (const lane of job.lanes) await writeLane(sink, job, lane)
    job.stage = 'completing'
  }
  const rows = BigInt(job.lanes.length * job.chunks * 10)
  expect(await sink.finalise(job, rows)).toMatchObject({ rows })
}

export async function writeLane(sink: Sink, job: Run, lane: number): Promise<void> {
  const writer = await sink.openLane(job, lane)
  try {
    for (let seq = writer.position.chunks; seq < job.chunks; seq++) await writer.write([scoredChunk(lane, seq, 10)])
    await writer.end()
  } finally {
    await writer.close()
  }
}

/** What a test of crashes needs of a store. */
export interface CrashSite {
  /** A sink whose store dies after so many changes (crashing-store.ts). */
  sink(changes: number): Sink
  /** A directory without anything but an older result. */
  reset(): Promise<void>
}

/** Crashes ever later until a run gets through; says how many runs crashed. */
export async function atEveryChange(
  site: CrashSite,
  newJob: () => Run,
  afterCrash: (job: Run) => Promise<void>,
): Promise<number> {
  for (let changes = 0; ; changes++) {
    await site.reset()
    const job = newJob()
    try {
      await run(site.sink(changes), job)
      return changes
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    await afterCrash(job)
  }
}
