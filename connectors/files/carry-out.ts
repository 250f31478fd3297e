// A published attempt becomes what readers see. Each step may be the last before a crash, and all may run again, also at the same
// time in two controllers: what is staged stays until there is nothing left to do with it.
import { ConnectorError, type SinkJob } from '../connector.ts'
import { publishErrors, removeErrors } from './errors.ts'
import {
  type Manifest,
  type ManifestFile,
  type ManifestResult,
  manifestProblem,
  nextManifest,
  readManifest,
  resultOf,
  SUCCESS,
  updateManifest,
} from './manifest.ts'
import {
  hasLaterAttempt,
  isPartOf,
  isUnderWay,
  notPrepared,
  type PartRecord,
  partNames,
  stagedPart,
  stagingDirectory,
} from './staging.ts'
import type { FileStore } from './store.ts'

/**
 * Does what is left to do. `_SUCCESS` alone is written and removed without a condition, so whoever has done that looks whether the
 * attempt was still under way, and makes up for it if not; and whoever ends the attempt looks once more after that, for one who was
 * late may have removed it just before.
 */
export async function carryOut(store: FileStore, job: SinkJob, staged: readonly PartRecord[]): Promise<ManifestResult> {
  const parts = partsToShow(staged)
  // 1. No reader may take what comes now for a result.
  await store.remove([SUCCESS])
  await requireUnderWay(store, job)
  // 2. The new files lie beside the old ones; their names differ by the job.
  await store.publish(parts.map((part) => stagedPart(job, part)))
  await publishErrors(store, job, staged)
  // 3. The old files go, then the manifest that names them.
  const manifest = await updateManifest(store, (current) => replace(store, job, parts, current))
  // 4. The result is described: now it is declared.
  await store.put(SUCCESS, new Uint8Array(0))
  await requireUnderWay(store, job)
  // 5. Only now the records are not needed any more.
  await endAttempt(store, job)
  if (manifest !== null) await declare(store, manifest)
  return resultOf(manifest, job) as ManifestResult
}

/** The manifest with this job in it; what it does not list any more is removed by then. */
async function replace(
  store: FileStore,
  job: SinkJob,
  parts: readonly PartRecord[],
  current: Manifest | null,
): Promise<Manifest | null> {
  if (resultOf(current, job) !== undefined) return current
  // Looked at after the manifest was read: whoever has ended the attempt has changed that before.
  if (!(await isUnderWay(store, job))) throw notPrepared(store, job)
  const problem = current && manifestProblem(store.location, current, job.output, job.columns)
  if (problem !== null) throw new ConnectorError(problem.code, problem.detail, { retriable: false })
  const manifest = nextManifest(
    current,
    job,
    parts.map((part) => manifestFile(job, part)),
  )
  // Nothing else in the directory is ours to remove.
  const kept = new Set(manifest.files.map((file) => file.name))
  await store.remove((current?.files ?? []).map((file) => file.name).filter((name) => !kept.has(name)))
  const listed = (other: Manifest | null, id: string) => other?.results.some((result) => result.result_id === id)
  await removeErrors(store, (resultId) => listed(current, resultId) === true && !listed(manifest, resultId))
  return manifest
}

/** Throws when another controller has ended the attempt; then `_SUCCESS` is made to agree with what is there now. */
async function requireUnderWay(store: FileStore, job: SinkJob): Promise<void> {
  if (await isUnderWay(store, job)) return
  const manifest = await readManifest(store)
  if (manifest !== null && (await isWhole(store, manifest))) await store.put(SUCCESS, new Uint8Array(0))
  else await store.remove([SUCCESS])
  throw notPrepared(store, job)
}

/** Parts with rows; one without when there is none: nothing to show, but the result must be readable. */
function partsToShow(parts: readonly PartRecord[]): PartRecord[] {
  const filled = parts.filter((part) => part.rows > 0)
  return filled.length > 0 ? filled : parts.slice(0, 1)
}

/**
 * What the manifest lists is a result if all of it is there: not after an overwrite took the first of its files. Says whether
 * it is declared.
 */
export async function declare(store: FileStore, manifest: Manifest): Promise<boolean> {
  if (await succeeded(store)) return true
  if (!(await isWhole(store, manifest))) return false
  await store.put(SUCCESS, new Uint8Array(0))
  return true
}

async function isWhole(store: FileStore, manifest: Manifest): Promise<boolean> {
  const files = manifest.files.map(({ name, bytes }) => ({ name, finalName: name, receipt: '', bytes }))
  return (await store.missing(files)).length === 0
}

export async function succeeded(store: FileStore): Promise<boolean> {
  return (await store.read(SUCCESS)) !== null
}

/**
 * Removes what is staged, and then the parts that writers have begun and nobody will publish: a crash left them, or another
 * writer of the lane was faster. Here, and not when an attempt begins, because now nobody writes: with the directory gone,
 * a writer that comes late takes its part back by itself. Of this job only; other jobs write to the same place.
 */
export async function endAttempt(store: FileStore, job: SinkJob): Promise<void> {
  await store.removeDirectory(stagingDirectory(job))
  const stale = (await store.begun()).filter((part) => isPartOf(job, part.finalName))
  // Names do not tell attempts apart. A later one was prepared before it began any of these, so looking after listing is
  // enough: it sweeps when it ends, and this call may come from a controller that was replaced long ago.
  if (stale.length > 0 && !(await hasLaterAttempt(store, job))) await store.forget(stale)
}

function manifestFile(job: SinkJob, part: PartRecord): ManifestFile {
  const { final } = partNames(job, part.lane, part.k)
  return {
    name: final,
    job_id: job.jobId,
    result_id: job.resultId,
    rows: part.rows,
    bytes: part.bytes,
    sha256: part.sha256,
  }
}
