// A whole job on a real store, stopped before or after any of the changes that it makes there, and gone on with.
import { expect } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import type { FileStore, PartFile } from '../../../connectors/files/store.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { scoredChunk, sinkJob } from './batches.ts'

export class Crash extends Error {}

export const UNLIMITED = Number.MAX_SAFE_INTEGER

/**
 * Lets `budget` changes through; each takes two, so that a crash falls before one or right after it. What a part has open
 * is closed after a crash too (`closes`), or left as it is.
 */
export function crashing(store: FileStore, budget: { left: number }, { closes }: { closes: boolean }): FileStore {
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    if (budget.left-- <= 0) throw new Crash('before')
    const done = await work()
    if (budget.left-- <= 0) throw new Crash('after')
    return done
  }
  // One by one: a crash may fall between two files.
  const each = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
    for (const item of items) await change(() => work(item))
  }
  return {
    ...store,
    createDirectory: (name) => change(() => store.createDirectory(name)),
    put: (name, bytes) => change(() => store.put(name, bytes)),
    replace: (name, expected, bytes) => change(() => store.replace(name, expected, bytes)),
    remove: (names) => each(names, (name) => store.remove([name])),
    publish: (parts) => each(parts, (part) => store.publish([part])),
    withdraw: (parts) => each(parts, (part) => store.withdraw([part])),
    forget: (parts) => each(parts, (part) => store.forget([part])),
    removeDirectory: (name) => change(() => store.removeDirectory(name)),
    begin: async (name, finalName): Promise<PartFile> => {
      if (budget.left-- <= 0) throw new Crash('before')
      const file = await store.begin(name, finalName)
      return {
        write: (bytes) => change(() => file.write(bytes)),
        commit: () => change(() => file.commit()),
        abort: async () => {
          if (closes || budget.left > 0) await file.abort()
        },
      }
    },
  }
}

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
  /** A sink whose store lets so many changes through. */
  sink(budget: number): Sink
  /** A directory without anything but an older result. */
  reset(): Promise<void>
}

/** Crashes ever later until a run gets through; says how many runs crashed. */
export async function atEveryChange(
  site: CrashSite,
  newJob: () => Run,
  afterCrash: (job: Run) => Promise<void>,
): Promise<number> {
  for (let budget = 0; ; budget++) {
    await site.reset()
    const job = newJob()
    try {
      await run(site.sink(budget), job)
      return budget
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    await afterCrash(job)
  }
}
