// A whole job on a real object store, stopped after every single change that it makes there, then gone on with
// or discarded; a crash leaves uploads as they are, and in the end none is left.
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { fileStores } from '../../../connectors/files/file-stores.ts'
import type { Manifest } from '../../../connectors/files/manifest.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../../harness/s3.ts'
import { connectorSettings } from '../settings.ts'
import { atEveryChange, type CrashSite, type Run, run, runOf, UNLIMITED } from './crashing.ts'
import { crashingStore, lifeOf } from './crashing-store.ts'
import { summaryOf } from './s3-reader.ts'

const TIMEOUT_MS = 180_000

let s3: S3Server
let bucket: string
let site: CrashSite
/** The older result, as its job left it. */
let old: Record<string, Buffer>

beforeAll(async () => {
  s3 = await startS3()
  bucket = await s3.bucket()
  for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
  const settings = connectorSettings({
    outputRoots: [`s3://${bucket}/`],
    s3: { endpoint: s3.endpoint, region: 'us-east-1' },
  })
  const stores = fileStores(settings)
  site = {
    sink: (changes) => {
      const life = lifeOf(changes)
      return createFilesSink(settings, async (url) => crashingStore(await stores.open(url), life))
    },
    reset: () => restore(old),
  }
  await run(site.sink(UNLIMITED), jobOf('batch-old', 'append', 1))
  old = await objects()
  return async () => {
    await stores.close()
    await s3.stop()
  }
})
afterAll(() => void vi.unstubAllEnvs())

/** Makes these the only objects that there are. */
async function restore(wanted: Record<string, Buffer>): Promise<void> {
  const found = await objects()
  await Promise.all([
    ...Object.keys(found)
      .filter((name) => !(name in wanted))
      .map((name) => s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `out/${name}` }))),
    ...Object.entries(wanted)
      .filter(([name, bytes]) => !found[name]?.equals(bytes))
      .map(([name, Body]) => s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: `out/${name}`, Body }))),
  ])
}

/** The changes after which one of the two parts of a job is published. */
async function halfPublished(): Promise<number> {
  for (let budget = 0; ; budget++) {
    await site.reset()
    await run(site.sink(budget), jobOf('batch-new', 'overwrite', 1)).catch(() => {})
    const published = Object.keys(await objects()).filter((name) => name.endsWith('-batch-new.parquet'))
    if (published.length === 1) return budget
    await site.sink(UNLIMITED).discard(jobOf('batch-new', 'overwrite', 1))
  }
}

const objects = () => objectsIn(s3.client, bucket, 'out/')

function jobOf(jobId: string, mode: WriteMode, chunks: number): Run {
  return runOf(`s3://${bucket}/out/`, jobId, mode, chunks)
}

test.each([
  { mode: 'overwrite', chunks: 2, rows: 40, changes: 10 },
  { mode: 'append', chunks: 1, rows: 40, changes: 15 },
  { mode: 'overwrite', chunks: 0, rows: 0, changes: 10 },
] as const)(
  '$mode, $chunks chunks: going on after any crash gives the same result',
  async ({ mode, chunks, rows, changes }) => {
    const newJob = () => jobOf('batch-new', mode, chunks)
    await site.reset()
    const undisturbed = newJob()
    await run(site.sink(UNLIMITED), undisturbed)
    const expected = await objects()
    expect(await summaryOf(s3, `${bucket}/out`, 'parquet')).toMatchObject({ rows })
    const crashes = await atEveryChange(site, newJob, async (job) => {
      await run(site.sink(UNLIMITED), job)
      expect(await objects()).toEqual(expected)
      expect(await openUploads(s3.client, bucket)).toEqual([])
    })
    expect(crashes).toBeGreaterThan(changes)
  },
  TIMEOUT_MS,
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
        expect(await openUploads(s3.client, bucket)).toEqual([])
        const found = await objects()
        const names = Object.keys(found)
        const manifest = JSON.parse(String(found['_manifest.json'])) as Manifest
        const listed = manifest.files.map((file) => file.name).sort()
        const there = names.filter((name) => !name.startsWith('_'))
        // An overwrite may already have taken some of the old files; then nothing is declared.
        expect(listed).toEqual(expect.arrayContaining(there))
        expect(names.filter((name) => name.startsWith('_scoreline'))).toEqual([])
        if (there.length < listed.length) expect(names).not.toContain('_SUCCESS')
        else if (manifest.job_id === 'batch-old') expect(names).toContain('_SUCCESS')
      },
    )
  },
  TIMEOUT_MS,
)

test(
  'a discard of what is half published makes it the result; one that is itself stopped anywhere is finished by the next',
  async () => {
    const half = await halfPublished()
    await site.reset()
    await run(site.sink(UNLIMITED), jobOf('batch-new', 'overwrite', 1))
    const expected = await objects()
    for (let budget = 0, crashed = true; crashed; budget++) {
      const job = jobOf('batch-new', 'overwrite', 1)
      await site.reset()
      await run(site.sink(half), job).catch(() => {})
      expect(job.stage).toBe('completing')
      crashed = await site
        .sink(budget)
        .discard(job)
        .then(
          () => false,
          () => true,
        )
      await site.sink(UNLIMITED).discard(job)
      expect(await objects()).toEqual(expected)
      expect(await openUploads(s3.client, bucket)).toEqual([])
    }
  },
  TIMEOUT_MS,
)
