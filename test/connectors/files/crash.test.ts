// A whole job on real files, stopped before and after every single change that it makes to the store, then run again.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import type { Manifest } from '../../../connectors/files/manifest.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { FileStore, PartFile } from '../../../connectors/files/store.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { connectorSettings } from '../settings.ts'
import { scoredChunk, sinkJob } from './batches.ts'
import { duckdb } from './duckdb.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'scoreline-crash-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

class Crash extends Error {}

/** Lets `budget` changes through; each takes two, so that a crash falls before one or right after it. */
function crashing(store: FileStore, budget: { left: number }): FileStore {
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    if (budget.left-- <= 0) throw new Crash('before')
    const done = await work()
    if (budget.left-- <= 0) throw new Crash('after')
    return done
  }
  return {
    ...store,
    createDirectory: (name) => change(() => store.createDirectory(name)),
    put: (name, bytes) => change(() => store.put(name, bytes)),
    // One by one: a crash may fall between two files.
    remove: async (names) => {
      for (const name of names) await change(() => store.remove([name]))
    },
    publish: async (parts) => {
      for (const part of parts) await change(() => store.publish([part]))
    },
    withdraw: async (parts) => {
      for (const part of parts) await change(() => store.withdraw([part]))
    },
    removeDirectory: (name) => change(() => store.removeDirectory(name)),
    begin: async (name, finalName): Promise<PartFile> => {
      if (budget.left-- <= 0) throw new Crash('before')
      const file = await store.begin(name, finalName)
      return { ...file, write: (bytes) => change(() => file.write(bytes)), commit: () => change(() => file.commit()) }
    },
  }
}

function sinkWith(budget: { left: number }): Sink {
  return createFilesSink(connectorSettings({ outputRoots: [`file://${root}/`] }), (directory) =>
    crashing(openLocalStore(directory), budget),
  )
}

const UNLIMITED = Number.MAX_SAFE_INTEGER

function jobOf(jobId: string, mode: WriteMode, chunks: number): Run {
  const job = sinkJob('out', { jobId, chunkRows: 2_000_000, lanes: [0, 1], output: { mode } })
  return { ...job, chunks, stage: 'preparing' }
}

/** A job, and what the controller knows of it when a process crashes: nobody repeats a stage that has returned. */
interface Run extends SinkJob {
  readonly chunks: number
  stage: 'preparing' | 'running' | 'completing'
}

/** Goes on from the stage that an earlier run has brought the job to. */
async function run(sink: Sink, job: Run): Promise<void> {
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

async function writeLane(sink: Sink, job: Run, lane: number): Promise<void> {
  const writer = await sink.openLane(job, lane)
  try {
    for (let seq = writer.position.chunks; seq < job.chunks; seq++) await writer.write([scoredChunk(lane, seq, 10)])
    await writer.end()
  } finally {
    await writer.close()
  }
}

async function snapshot(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of (await readdir(join(root, 'out'))).sort()) {
    if (name.startsWith('.')) continue
    found[name] = await readFile(join(root, 'out', name), 'base64')
  }
  return found
}

/** An empty directory but for an older result. */
async function reset(): Promise<void> {
  await rm(join(root, 'out'), { recursive: true, force: true })
  await run(sinkWith({ left: UNLIMITED }), jobOf('batch-old', 'append', 1))
}

/** Crashes ever later until a run gets through; says how many runs crashed. */
async function atEveryChange(newJob: () => Run, afterCrash: (job: Run) => Promise<void>): Promise<number> {
  for (let budget = 0; ; budget++) {
    await reset()
    const job = newJob()
    try {
      await run(sinkWith({ left: budget }), job)
      return budget
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    await afterCrash(job)
  }
}

/** The directory after a job that nothing disturbed. */
async function undisturbed(job: Run): Promise<Record<string, string>> {
  await reset()
  await run(sinkWith({ left: UNLIMITED }), job)
  return snapshot()
}

test.each([
  { mode: 'overwrite', chunks: 2, rows: '40', changes: 40 },
  { mode: 'append', chunks: 2, rows: '60', changes: 40 },
  { mode: 'overwrite', chunks: 0, rows: '0', changes: 20 },
] as const)(
  '$mode, $chunks chunks: going on after any crash gives the same result',
  async ({ mode, chunks, rows, changes }) => {
    const newJob = () => jobOf('batch-new', mode, chunks)
    const expected = await undisturbed(newJob())
    expect(await duckdb(`SELECT count(*) AS n FROM '${root}/out/*.parquet'`)).toEqual([{ n: rows }])
    const crashes = await atEveryChange(newJob, async (job) => {
      await run(sinkWith({ left: UNLIMITED }), job)
      expect(await snapshot()).toEqual(expected)
    })
    expect(crashes).toBeGreaterThan(changes)
  },
)

test.each(['overwrite', 'append'] as const)(
  '%s: a discard after any crash leaves the old result or the new one',
  async (mode) => {
    await atEveryChange(
      () => jobOf('batch-new', mode, 1),
      async (job) => {
        const sink = sinkWith({ left: UNLIMITED })
        await sink.discard(job)
        await sink.discard(job)
        const names = Object.keys(await snapshot())
        const manifest = JSON.parse(await readFile(join(root, 'out/_manifest.json'), 'utf8')) as Manifest
        const listed = manifest.files.map((file) => file.name).sort()
        const there = names.filter((name) => !name.startsWith('_'))
        // An overwrite may already have taken some of the old files; then nothing is declared.
        expect(listed).toEqual(expect.arrayContaining(there))
        if (there.length < listed.length) expect(names).not.toContain('_SUCCESS')
        else if (manifest.job_id === 'batch-old') expect(names).toContain('_SUCCESS')
      },
    )
  },
)
