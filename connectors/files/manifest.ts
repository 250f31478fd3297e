// The manifest of a result directory: which files belong to it, of which jobs. The underscore is what lets pandas,
// PyArrow, Spark and Hive read the directory as it is: they take any other file for data (`pandas.read_parquet` of a
// directory with a `manifest.json` fails: "Could not read schema … Is this a 'parquet' file?").
import { type Column, kindName } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'
import { ConnectorError, type Problem, type SinkJob } from '../connector.ts'
import type { FileStore } from './store.ts'

export const MANIFEST = '_manifest.json'

/** Written last. Without it there is no result. */
export const SUCCESS = '_SUCCESS'

/** One data file, by its name in the directory. */
export interface ManifestFile {
  readonly name: string
  readonly job_id: string
  readonly result_id: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

/** What one output of a job added. */
export interface ManifestResult {
  readonly job_id: string
  /** Names the output of the job. */
  readonly result_id: string
  readonly attempt: number
  readonly model: { readonly id: string; readonly version: number; readonly sha256: string }
  readonly rows: number
  readonly bytes: number
}

/** `rows` and `bytes` count all files. The fields of the newest job stand at the top, all jobs are in `results`. */
export interface Manifest extends ManifestResult {
  readonly format: string
  readonly schema: readonly { readonly name: string; readonly type: string }[]
  readonly results: readonly ManifestResult[]
  readonly files: readonly ManifestFile[]
}

/** The directory's manifest, or null when Scoreline has not written there. */
export async function readManifest(store: FileStore): Promise<Manifest | null> {
  return parsed(store, await store.read(MANIFEST))
}

/**
 * Changes the manifest, which other processes may change at the same time: then `change` is called again, with what they have
 * written. Returns the manifest as it is now; `change` returns the one that it was given to leave it so.
 */
export async function updateManifest(
  store: FileStore,
  change: (current: Manifest | null) => Promise<Manifest | null>,
): Promise<Manifest | null> {
  for (;;) {
    const bytes = await store.read(MANIFEST)
    const current = parsed(store, bytes)
    const manifest = await change(current)
    if (manifest === null || manifest === current) return current
    if (await store.replace(MANIFEST, bytes, manifestBytes(manifest))) return manifest
  }
}

function parsed(store: FileStore, bytes: Buffer | null): Manifest | null {
  if (bytes === null) return null
  try {
    const manifest = JSON.parse(bytes.toString()) as Manifest
    if (Array.isArray(manifest.files) && Array.isArray(manifest.results)) return manifest
  } catch {
    // Said below.
  }
  throw new ConnectorError(
    'manifest_damaged',
    `${store.location}${MANIFEST} is no manifest of Scoreline; move it away`,
    {
      retriable: false,
    },
  )
}

/** The manifest once `job` with `files` is in: alone, or (`append`) beside what `previous` lists. */
export function nextManifest(previous: Manifest | null, job: SinkJob, files: readonly ManifestFile[]): Manifest {
  const kept = job.output.mode === 'append' ? previous : null
  const isOther = (entry: { result_id: string }) => entry.result_id !== job.resultId
  const result = {
    job_id: job.jobId,
    result_id: job.resultId,
    attempt: job.attempt,
    model: { id: job.model.id, version: job.model.version, sha256: job.model.sha256 },
    ...totals(files),
  }
  const all = [...(kept?.files ?? []).filter(isOther), ...files]
  return {
    ...result,
    ...totals(all),
    format: job.output.destination,
    schema: manifestSchema(job.columns),
    results: [...(kept?.results ?? []).filter(isOther), result],
    files: all,
  }
}

/** What stays when this job's files are gone: the manifest itself if it does not list the job, null if nothing stays. */
export function withoutJob(manifest: Manifest, job: SinkJob): Manifest | null {
  if (resultOf(manifest, job) === undefined) return manifest
  const results = manifest.results.filter((result) => result.result_id !== job.resultId)
  const files = manifest.files.filter((file) => file.result_id !== job.resultId)
  const newest = results.at(-1)
  return newest === undefined ? null : { ...manifest, ...newest, ...totals(files), results, files }
}

function manifestBytes(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
}

/** What this output of the job added, if the manifest has it. */
export function resultOf(manifest: Manifest | null, job: SinkJob): ManifestResult | undefined {
  return manifest?.results.find((result) => result.result_id === job.resultId && result.attempt === job.attempt)
}

/** Why an output cannot go where this manifest is, or null when it can. */
export function manifestProblem(
  location: string,
  manifest: Manifest,
  output: JobOutput,
  columns: readonly Column[],
): Problem | null {
  if (output.mode === 'error') return notEmpty(location)
  const fault = output.mode === 'append' ? appendFault(manifest, output.destination, columns) : null
  if (fault === null) return null
  const detail = `${location}: ${fault}. Choose another directory, or mode overwrite`
  return { code: 'schema_mismatch', pointer: '/output/path', detail }
}

export function notEmpty(location: string): Problem {
  const detail = `${location} holds a result already: choose another directory, or mode overwrite or append`
  return { code: 'path_not_empty', pointer: '/output/path', detail }
}

function appendFault(manifest: Manifest, format: string, columns: readonly Column[]): string | null {
  if (manifest.format !== format) return `it holds ${manifest.format} files, the job writes ${format}`
  const there = describe(manifest.schema)
  const here = describe(manifestSchema(columns))
  return there === here ? null : `its files have the columns ${there}; the job has ${here}`
}

function manifestSchema(columns: readonly Column[]): { name: string; type: string }[] {
  return columns.map((column) => {
    const { name, kind, precision, scale } = column
    return { name, type: kind === 'decimal' ? `decimal(${precision ?? 38},${scale ?? 0})` : kindName(column) }
  })
}

function describe(schema: Manifest['schema']): string {
  return schema.map(({ name, type }) => `${name} ${type}`).join(', ')
}

function totals(files: readonly ManifestFile[]): { rows: number; bytes: number } {
  return {
    rows: files.reduce((sum, file) => sum + file.rows, 0),
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  }
}
