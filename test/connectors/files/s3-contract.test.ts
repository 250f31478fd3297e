// The sink contract on files in an object store, which are downloaded and read back by DuckDB.
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, vi } from 'vitest'
import type { Sink } from '../../../connectors/connector.ts'
import { type FileStores, fileStores } from '../../../connectors/files/file-stores.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { OpenStore } from '../../../connectors/files/store.ts'
import type { JobOutput, WriteMode } from '../../../topics/jobs.ts'
import { type Failure, type FlakyProxy, startFlakyProxy } from '../../harness/flaky-proxy.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../../harness/s3.ts'
import { connectorSettings } from '../settings.ts'
import { type SeenRow, sinkContract } from '../sink-contract.ts'
import { crashingStore, lifeOf } from './crashing-store.ts'
import { freshFileOutput, parquetRefuses, readDataFiles, strayNames } from './result-files.ts'

/** A crash leaves the connections of its process to the stores that all share. */
let stores: FileStores
let s3: S3Server
let proxy: FlakyProxy
let bucket: string
let downloads: string

beforeAll(async () => {
  s3 = await startS3()
  proxy = await startFlakyProxy(s3.endpoint)
  bucket = await s3.bucket()
  for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
  stores = fileStores(settings(s3.endpoint))
  downloads = await mkdtemp(join(tmpdir(), 'scoreline-s3-contract-'))
  return async () => {
    await stores.close()
    proxy.stop()
    await s3.stop()
    await rm(downloads, { recursive: true, force: true })
  }
})
beforeEach(() => {
  proxy.failing = null
})
afterAll(() => void vi.unstubAllEnvs())

function settings(endpoint: string) {
  return connectorSettings({ outputRoots: [`s3://${bucket}/results/`], s3: { endpoint, region: 'us-east-1' } })
}

function openSink(openStore?: OpenStore): Sink {
  return createFilesSink(settings(s3.endpoint), openStore)
}

function freshOutput(mode: WriteMode): JobOutput {
  return freshFileOutput('parquet', mode, `s3://${bucket}/results`)
}

function keyPrefix({ path }: JobOutput): string {
  return `${String(path).slice(`s3://${bucket}/`.length)}/`
}

function objectsOf(output: JobOutput): Promise<Record<string, Buffer>> {
  return objectsIn(s3.client, bucket, keyPrefix(output))
}

async function read(output: JobOutput): Promise<SeenRow[] | null> {
  const objects = await objectsOf(output)
  if (!objects._SUCCESS) return null
  const directory = join(downloads, randomBytes(6).toString('hex'))
  await mkdir(directory)
  for (const [name, bytes] of Object.entries(objects))
    if (name.endsWith('.parquet') && !name.includes('/')) await writeFile(join(directory, name), bytes)
  const rows = await readDataFiles(directory, 'parquet')
  await rm(directory, { recursive: true })
  return rows
}

/** Objects that are no result, and uploads, which are seen by nobody but cost as much. */
async function leftovers({ output }: { output: JobOutput }): Promise<string[]> {
  const [objects, uploads] = await Promise.all([objectsOf(output), openUploads(s3.client, bucket)])
  const strays = strayNames(Object.keys(objects), String(objects['_manifest.json'] ?? ''))
  return [...strays, ...uploads.filter((key) => key.startsWith(keyPrefix(output))).map((key) => `upload ${key}`)]
}

async function fingerprint(output: JobOutput): Promise<Record<string, string>> {
  const objects = Object.entries(await objectsOf(output))
  return Object.fromEntries(objects.map(([name, bytes]) => [name, createHash('sha256').update(bytes).digest('hex')]))
}

async function dyingSink(step: number) {
  const life = lifeOf(step)
  const sink = openSink(async (url) => crashingStore(await stores.open(url), life))
  return { sink, died: () => life.left <= 0 }
}

/** Any request fails in this way, as often as it is sent. */
function failing(how: Failure) {
  return async (mode: WriteMode) => ({
    sink: createFilesSink(settings(proxy.endpoint)),
    output: freshOutput(mode),
    fail: async () => {
      proxy.failing = { how, methods: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'], times: Number.MAX_SAFE_INTEGER }
    },
    mend: async () => {
      proxy.failing = null
    },
  })
}

sinkContract('s3', {
  visibility: 'whole',
  modes: ['overwrite', 'append', 'error'],
  chunkRows: 2_000_000,
  scheduleRuns: 8,
  overwriteGap: true,
  expires: 'files',
  openSink: () => openSink(),
  freshOutput,
  read,
  leftovers,
  refuses: parquetRefuses,
  fingerprint,
  // s3-crash.test.ts tries them all.
  crashEvery: 11,
  dyingSink,
  failing: { 'a store that answers 503': failing('busy'), 'a store that hangs up': failing('reset') },
  ruin: async (output) => {
    const Key = `${keyPrefix(output)}_manifest.json`
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'not ours' }))
  },
})
