// A controller that hangs while it makes a result visible, before any one of its contacts with the store, and comes back when another
// controller has long gone on: it has discarded the attempt, or finished it and others have written there since.
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Sink, SinkResult } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import { openS3Store } from '../../../connectors/files/s3-store.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { FileStore, OpenStore } from '../../../connectors/files/store.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../../harness/s3.ts'
import { connectorSettings } from '../settings.ts'
import { type Run, run, runOf, writeLane } from './crashing.ts'

const TIMEOUT_MS = 180_000

/** What happens before the contact of this number (from 0 on), and whether it came to that. */
interface Hang {
  readonly before: number
  readonly meanwhile: () => Promise<void>
  contacts: number
}

async function contact(hang: Hang): Promise<void> {
  if (hang.contacts++ === hang.before) await hang.meanwhile()
}

/** A place for results, with what is there as name → hash. */
interface Place {
  /** It hangs before every so manieth contact: odd, for a write and the look after it are two requests. */
  readonly every: number
  path(): string
  sink(hang?: Hang): Sink
  contents(): Promise<Record<string, string>>
  clear(): Promise<void>
}

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

function localPlace(): Place {
  let root: string
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'scoreline-late-'))
    return () => rm(root, { recursive: true, force: true })
  })
  return {
    every: 1,
    path: () => 'out',
    sink: (hang) => {
      const open: OpenStore = (path) => (hang ? hanging(openLocalStore(path), hang) : openLocalStore(path))
      return createFilesSink(connectorSettings({ outputRoots: [`file://${root}/`] }), open)
    },
    contents: async () => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true })
      const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name))
      const directories = entries.filter((entry) => entry.isDirectory() && entry.name !== 'out')
      return {
        ...Object.fromEntries(directories.map((entry) => [entry.name, 'a directory'])),
        ...Object.fromEntries(
          await Promise.all(files.map(async (file) => [relative(root, file), hashOf(await readFile(file))] as const)),
        ),
      }
    },
    clear: () => rm(join(root, 'out'), { recursive: true, force: true }),
  }
}

/** Hangs before calls to the store; those that take several files are made for one at a time. */
function hanging(store: FileStore, hang: Hang): FileStore {
  const each = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
    for (const item of items) {
      await contact(hang)
      await work(item)
    }
  }
  const one = async <T>(work: () => Promise<T>): Promise<T> => {
    await contact(hang)
    return work()
  }
  return {
    ...store,
    list: (name) => one(() => store.list(name)),
    directories: (name) => one(() => store.directories(name)),
    read: (name) => one(() => store.read(name)),
    put: (name, bytes) => one(() => store.put(name, bytes)),
    replace: (name, expected, bytes) => one(() => store.replace(name, expected, bytes)),
    missing: (parts) => one(() => store.missing(parts)),
    remove: (names) => each(names, (name) => store.remove([name])),
    publish: (parts) => each(parts, (part) => store.publish([part])),
    removeDirectory: (name) => one(() => store.removeDirectory(name)),
  }
}

function s3Place(): Place {
  let s3: S3Server
  let bucket: string
  const clients: S3Client[] = []
  beforeAll(async () => {
    s3 = await startS3()
    bucket = await s3.bucket()
    for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
    return async () => {
      for (const client of clients) client.destroy()
      await s3.stop()
    }
  })
  afterAll(() => void vi.unstubAllEnvs())
  const prefix = 'out/'
  return {
    every: 5,
    path: () => `s3://${bucket}/${prefix}`,
    sink: (hang) => {
      const client = hang ? hangingClient(s3.endpoint, hang) : s3.client
      if (hang) clients.push(client)
      const settings = connectorSettings({ outputRoots: [`s3://${bucket}/`] })
      return createFilesSink(settings, (url) => openS3Store(client, url))
    },
    contents: async () => {
      const objects = Object.entries(await objectsIn(s3.client, bucket, prefix))
      const uploads = await openUploads(s3.client, bucket)
      return Object.fromEntries([
        ...objects.map(([name, bytes]) => [name, hashOf(bytes)]),
        ...uploads.map((name) => [name, 'an upload']),
      ])
    },
    clear: async () => {
      for (const name of Object.keys(await objectsIn(s3.client, bucket, prefix)))
        await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: prefix + name }))
    },
  }
}

/** Hangs before requests: also in the middle of what the store takes for one call. */
function hangingClient(endpoint: string, hang: Hang): S3Client {
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true })
  client.middlewareStack.add(
    (next) => async (args) => {
      await contact(hang)
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low' },
  )
  return client
}

const MODES: readonly WriteMode[] = ['overwrite', 'append']

describe.each([
  { store: 'on the local disk', place: localPlace() },
  { store: 'in an object store', place: s3Place() },
])('a result $store', ({ place }) => {
  const jobOf = (jobId: string, mode: WriteMode) => runOf(place.path(), jobId, mode, 1)

  /** A job of which all is written, where an older result is. */
  async function written(mode: WriteMode): Promise<Run> {
    await place.clear()
    await run(place.sink(), jobOf('batch-old', 'append'))
    const job = jobOf('batch-new', mode)
    await place.sink().prepare(job)
    for (const lane of job.lanes) await writeLane(place.sink(), job, lane)
    return job
  }

  const finalise = (sink: Sink, job: Run) => sink.finalise(job, 20n)

  /** Who is refused is told so for good. */
  async function told(work: Promise<SinkResult>): Promise<'there' | 'refused'> {
    return work.then(
      (result) => {
        expect(result.rows).toBe(20n)
        return 'there' as const
      },
      (error) => {
        expect(error).toMatchObject({ name: 'ConnectorError', retriable: false })
        return 'refused' as const
      },
    )
  }

  /** Hangs ever later, until a finalisation is through before that; says before which contact that was. */
  async function atEveryContact(mode: WriteMode, meanwhile: (job: Run) => Promise<void>, check: () => Promise<void>) {
    for (let before = 0; ; before += place.every) {
      const job = await written(mode)
      const hang = { before, contacts: 0, meanwhile: () => meanwhile(job) }
      await told(finalise(place.sink(hang), job))
      if (hang.contacts <= before) return before
      await check()
    }
  }

  test.each(MODES)(
    '%s: who comes back when the attempt was discarded changes nothing: the new result is there, or the old one',
    async (mode) => {
      await written(mode)
      await place.sink().discard(jobOf('batch-new', mode))
      const old = await place.contents()
      await finalise(place.sink(), await written(mode))
      const fresh = await place.contents()
      expect(Object.keys(fresh).filter((name) => name.includes('part-'))).toHaveLength(mode === 'append' ? 4 : 2)

      const answers: string[] = []
      const contacts = await atEveryContact(
        mode,
        async (job) => {
          await place.sink().discard(job)
          answers.push(await told(finalise(place.sink(), job)))
        },
        async () => expect(await place.contents()).toEqual(answers.at(-1) === 'there' ? fresh : old),
      )
      expect(contacts).toBeGreaterThan(20)
      // Before the outcome is settled, and from then on.
      expect(answers).toEqual([...answers].sort())
      expect(new Set(answers).size).toBe(2)
    },
    TIMEOUT_MS,
  )

  test.each(MODES)(
    '%s: who comes back when others have finished his job and added to its place takes nothing from them',
    async (mode) => {
      const later = [jobOf('batch-later', mode), jobOf('batch-last', 'append')]
      const others = async (job: Run) => {
        expect(await told(finalise(place.sink(), job))).toBe('there')
        for (const next of later) await run(place.sink(), { ...next })
      }
      await others(await written(mode))
      const expected = await place.contents()
      const contacts = await atEveryContact(mode, others, async () => expect(await place.contents()).toEqual(expected))
      expect(contacts).toBeGreaterThan(20)
    },
    TIMEOUT_MS,
  )

  test('jobs that add to one place from several processes at the same time are all listed', async () => {
    await place.clear()
    const jobs = ['one', 'two', 'three', 'four'].map((name) => jobOf(`batch-${name}`, 'append'))
    await Promise.all(jobs.map((job) => run(place.sink(), job)))
    for (const job of jobs) expect((await place.sink().files?.describe(job))?.files).toHaveLength(2)
    expect(Object.keys(await place.contents())).toHaveLength(8 + 2)
  })
})
