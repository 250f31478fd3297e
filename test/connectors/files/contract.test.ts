// The sink contract on files of the local disk, in both formats, read back by DuckDB.
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { OpenStore } from '../../../connectors/files/store.ts'
import type { JobOutput, WriteMode } from '../../../topics/jobs.ts'
import { connectorSettings } from '../settings.ts'
import { type SeenRow, type SinkWorld, sinkContract } from '../sink-contract.ts'
import { crashingStore, lifeOf } from './crashing-store.ts'
import { type Format, freshFileOutput, parquetRefuses, readDataFiles, strayNames } from './result-files.ts'
import { mountSmallDisk } from './small-disk.ts'

let root: string
const disk = mountSmallDisk()

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scoreline-contract-'))
})

afterAll(async () => {
  disk?.remove()
  await rm(root, { recursive: true, force: true })
})

function openSink(openStore?: OpenStore): Sink {
  const outputRoots = [root, ...(disk ? [disk.path] : [])].map((path) => `file://${path}/`)
  return createFilesSink(connectorSettings({ outputRoots }), openStore)
}

/** Everything in an output's directory, by its path there. */
async function entriesOf({ path }: JobOutput): Promise<string[]> {
  const found = await readdir(path as string, { recursive: true, withFileTypes: true }).catch(() => [])
  return found.map((entry) => relative(path as string, join(entry.parentPath, entry.name))).sort()
}

async function read(output: JobOutput): Promise<SeenRow[] | null> {
  if (!(await entriesOf(output)).includes('_SUCCESS')) return null
  return readDataFiles(output.path as string, output.destination as Format)
}

async function leftovers({ output }: SinkJob): Promise<string[]> {
  const manifest = await readFile(join(output.path as string, '_manifest.json'), 'utf8').catch(() => '')
  return strayNames(await entriesOf(output), manifest)
}

async function fingerprint(output: JobOutput): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {}
  for (const name of (await entriesOf(output)).filter((entry) => entry.includes('.') || entry.startsWith('_S'))) {
    const bytes = await readFile(join(output.path as string, name))
    hashes[name] = createHash('sha256').update(bytes).digest('hex')
  }
  return hashes
}

function world(format: Format, chunkRows: number): SinkWorld {
  return {
    visibility: 'whole',
    modes: ['overwrite', 'append', 'error'],
    chunkRows,
    overwriteGap: true,
    expires: 'files',
    openSink: () => openSink(),
    freshOutput: (mode) => freshFileOutput(format, mode, root),
    read,
    leftovers,
    ...(format === 'parquet' && { refuses: parquetRefuses }),
    fingerprint,
    ...(disk && {
      failing: {
        'a disk that is full': async (mode: WriteMode) => ({
          sink: openSink(),
          output: freshFileOutput(format, mode, disk.path),
          fail: async () => disk.fill(),
          mend: async () => disk.makeRoom(),
        }),
      },
    }),
    ruin: async ({ path }) => {
      await mkdir(path as string, { recursive: true })
      await writeFile(join(path as string, '_manifest.json'), 'not ours')
    },
  }
}

async function dyingSink(step: number) {
  const life = lifeOf(step)
  const sink = openSink((directory) => crashingStore(openLocalStore(directory), life))
  const close = async () => {
    await Promise.all(life.abandoned.map((file) => file.abort()))
  }
  return { sink: { ...sink, close }, died: () => life.left <= 0 }
}

/** Chunks so large that a part file has one of them, or two: a writer that is lost has then something that is not durable. */
sinkContract('parquet', { ...world('parquet', 2_000_000), dyingSink })
// A crash is the store's to survive and takes long to test: once is enough for both formats.
sinkContract('csv, parts of two chunks', world('csv', 8_000))
