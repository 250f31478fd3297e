// A whole job on real files, stopped before and after every single change that it makes to the store, then run again.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import type { Manifest } from '../../../connectors/files/manifest.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { connectorSettings } from '../settings.ts'
import { atEveryChange, type CrashSite, crashing, type Run, run, runOf, UNLIMITED } from './crashing.ts'
import { duckdb } from './duckdb.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'scoreline-crash-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const site: CrashSite = {
  sink: (left) => {
    const budget = { left }
    return createFilesSink(connectorSettings({ outputRoots: [`file://${root}/`] }), (directory) =>
      crashing(openLocalStore(directory), budget, { closes: true }),
    )
  },
  reset: async () => {
    await rm(join(root, 'out'), { recursive: true, force: true })
    await run(site.sink(UNLIMITED), jobOf('batch-old', 'append', 1))
  },
}

function jobOf(jobId: string, mode: WriteMode, chunks: number): Run {
  return runOf('out', jobId, mode, chunks)
}

async function snapshot(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of (await readdir(join(root, 'out'))).sort()) {
    if (name.startsWith('.')) continue
    found[name] = await readFile(join(root, 'out', name), 'base64')
  }
  return found
}

/** The directory after a job that nothing disturbed. */
async function undisturbed(job: Run): Promise<Record<string, string>> {
  await site.reset()
  await run(site.sink(UNLIMITED), job)
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
    const crashes = await atEveryChange(site, newJob, async (job) => {
      await run(site.sink(UNLIMITED), job)
      expect(await snapshot()).toEqual(expected)
    })
    expect(crashes).toBeGreaterThan(changes)
  },
)

test.each(['overwrite', 'append'] as const)(
  '%s: a discard after any crash leaves the old result or the new one',
  async (mode) => {
    await atEveryChange(
      site,
      () => jobOf('batch-new', mode, 1),
      async (job) => {
        const sink = site.sink(UNLIMITED)
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
