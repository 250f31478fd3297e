// The sink contract on files of the local disk, in both formats, read back by DuckDB.
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { OpenStore } from '../../../connectors/files/store.ts'
import type { Column } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput, type WriteMode } from '../../../topics/jobs.ts'
import type { Value } from '../batches.ts'
import { connectorSettings } from '../settings.ts'
import { type SeenRow, type SinkWorld, sinkContract } from '../sink-contract.ts'
import { crashingStore, type Life } from './crashing-store.ts'
import { duckdb } from './duckdb.ts'
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

type Format = 'parquet' | 'csv'

function openSink(openStore?: OpenStore): Sink {
  const outputRoots = [root, ...(disk ? [disk.path] : [])].map((path) => `file://${path}/`)
  return createFilesSink(connectorSettings({ outputRoots }), openStore)
}

function freshOutput(format: Format, mode: WriteMode, under = root): JobOutput {
  return { ...BARE_OUTPUT, destination: format, path: join(under, randomBytes(6).toString('hex')), mode }
}

/** Everything in an output's directory, by its path there. */
async function entriesOf({ path }: JobOutput): Promise<string[]> {
  const found = await readdir(path as string, { recursive: true, withFileTypes: true }).catch(() => [])
  return found.map((entry) => relative(path as string, join(entry.parentPath, entry.name))).sort()
}

/** The files that the manifest lists. */
async function listed({ path }: JobOutput): Promise<string[]> {
  const manifest = await readFile(join(path as string, '_manifest.json'), 'utf8').catch(() => '{"files": []}')
  // Where a test has ruined it, it lists nothing.
  return manifest.startsWith('{') ? JSON.parse(manifest).files.map(({ name }: { name: string }) => name) : []
}

/** As DuckDB prints the values of all data files that are in the directory. */
async function read(output: JobOutput): Promise<SeenRow[] | null> {
  if (!(await entriesOf(output)).includes('_SUCCESS')) return null
  const files = `${output.path}/*.${output.destination}`
  // Types are not guessed: what a column of a CSV file means is the contract's to know.
  if (output.destination === 'csv')
    return duckdb(
      `SELECT * FROM read_csv('${files}', header = true, all_varchar = true, delim = ',', quote = '"', escape = '"',
 allow_quoted_nulls = false, max_line_size = 1000000)`,
    )
  const columns = await duckdb(`DESCRIBE SELECT * FROM '${files}'`)
  const shown = columns.map(({ column_name: name, column_type: type }) =>
    type === 'BLOB' ? `hex("${name}") AS "${name}"` : `"${name}"::VARCHAR AS "${name}"`,
  )
  return duckdb(`SELECT ${shown.join(', ')} FROM '${files}'`)
}

async function leftovers({ output }: SinkJob): Promise<string[]> {
  const results = new Set(['_SUCCESS', '_manifest.json', ...(await listed(output))])
  return (await entriesOf(output)).filter((name) => !results.has(name))
}

async function fingerprint(output: JobOutput): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {}
  for (const name of await entriesOf(output)) {
    const bytes = await readFile(join(output.path as string, name))
    hashes[name] = createHash('sha256').update(bytes).digest('hex')
  }
  return hashes
}

/** Parquet has no infinite times and no NaN among decimals; CSV is text. */
function parquetRefuses({ kind }: Column, value: Value): boolean {
  if (kind === 'date') return Math.abs(value as number) > 10 ** 9
  if (kind === 'timestamp' || kind === 'timestamptz') return value === 2n ** 63n - 1n || value === -(2n ** 63n)
  return kind === 'decimal' && value === -(2n ** 127n)
}

function world(format: Format, chunkRows: number): SinkWorld {
  return {
    visibility: 'whole',
    modes: ['overwrite', 'append', 'error'],
    chunkRows,
    overwriteGap: true,
    openSink: () => openSink(),
    freshOutput: (mode) => freshOutput(format, mode),
    read,
    leftovers,
    ...(format === 'parquet' && { refuses: parquetRefuses }),
    fingerprint,
    ...(disk && {
      failing: async (mode: WriteMode) => ({
        sink: openSink(),
        output: freshOutput(format, mode, disk.path),
        fail: async () => disk.fill(),
        mend: async () => disk.makeRoom(),
      }),
    }),
    ruin: async ({ path }) => {
      await mkdir(path as string, { recursive: true })
      await writeFile(join(path as string, '_manifest.json'), 'not ours')
    },
  }
}

async function dyingSink(step: number) {
  const life: Life = { left: step, abandoned: [] }
  const sink = openSink((directory) => crashingStore(openLocalStore(directory), life))
  const close = async () => {
    await Promise.all(life.abandoned.map((file) => file.abort()))
  }
  return { sink: { ...sink, close }, died: () => life.left < 0 }
}

/** Chunks so large that a part file has one of them, or two: a writer that is lost has then something that is not durable. */
sinkContract('parquet', { ...world('parquet', 2_000_000), dyingSink })
// A crash is the store's to survive and takes long to test: once is enough for both formats.
sinkContract('csv, parts of two chunks', world('csv', 500_000))
