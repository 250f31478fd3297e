// From staged parts to a result that readers see. Each step may be the last before a crash and all may run again: what
// is staged and the old manifest stay until there is nothing left to do with them.
import { ConnectorError, type SinkJob, type SinkResult } from '../connector.ts'
import { publishErrors, removeErrors } from './errors.ts'
import { stageEmptyPart } from './lane-writer.ts'
import {
  MANIFEST,
  type Manifest,
  type ManifestFile,
  type ManifestResult,
  manifestBytes,
  nextManifest,
  readManifest,
  resultOf,
  SUCCESS,
} from './manifest.ts'
import {
  hasLaterAttempt,
  isPartOf,
  listStaging,
  type PartRecord,
  partNames,
  readAllParts,
  readLane,
  readPlan,
  type StagedLane,
  stagedPart,
  stagingDirectory,
} from './staging.ts'
import type { FileStore } from './store.ts'

/** Publishes the attempt's parts as the result, or throws before anything that is visible has changed. */
export async function publishResult(store: FileStore, job: SinkJob, rows: bigint): Promise<SinkResult> {
  const previous = await readManifest(store)
  const published = resultOf(previous, job)
  if (published !== undefined && (await succeeded(store))) {
    await endAttempt(store, job)
    return sinkResult(store, published)
  }
  const staged = await verifiedParts(store, job, rows)
  const parts = await partsToShow(store, job, staged)
  const manifest = nextManifest(
    previous,
    job,
    parts.map((part) => manifestFile(job, part)),
  )

  // 1. No reader may take what comes now for a result.
  await store.remove([SUCCESS])
  // 2. The new files lie beside the old ones; their names differ by the job.
  await store.publish(parts.map((part) => stagedPart(job, part)))
  await publishErrors(store, job, staged)
  // 3. The old files go while the old manifest still names them: nothing else in the directory is ours to remove.
  const current = new Set(manifest.files.map((file) => file.name))
  await store.remove((previous?.files ?? []).map((file) => file.name).filter((name) => !current.has(name)))
  const listed = new Set(manifest.results.map((result) => result.result_id))
  await removeErrors(store, (resultId) => !listed.has(resultId))
  // 4. The result is described, then declared.
  await store.put(MANIFEST, manifestBytes(manifest))
  await store.put(SUCCESS, new Uint8Array(0))
  // 5. Only now the records are not needed any more.
  await endAttempt(store, job)
  return sinkResult(store, resultOf(manifest, job) as ManifestResult)
}

/** Takes back what an attempt has staged, or had published before it failed. */
export async function discardAttempt(store: FileStore, job: SinkJob): Promise<void> {
  // A manifest that somebody has damaged names nothing that is kept for its sake.
  const manifest = await readManifest(store).catch(unlessRetriable)
  const parts = await readAllParts(store, job)
  if (resultOf(manifest, job) === undefined) {
    await store.withdraw(parts.map((part) => stagedPart(job, part)))
    await removeErrors(store, (resultId) => resultId === job.resultId)
  }
  // With parts, `publishResult` may have stopped in its middle; then the manifest's result, old or new, is not declared.
  if (manifest !== null && parts.length > 0) await redeclare(store, manifest)
  await endAttempt(store, job)
}

/**
 * Removes what is staged, and then the parts that writers have begun and nobody will publish: a crash left them, or another
 * writer of the lane was faster. Here, and not when an attempt begins, because now nobody writes: with the directory gone,
 * a writer that comes late takes its part back by itself. Of this job only; other jobs write to the same place.
 */
async function endAttempt(store: FileStore, job: SinkJob): Promise<void> {
  await store.removeDirectory(stagingDirectory(job))
  const stale = (await store.begun()).filter((part) => isPartOf(job, part.finalName))
  // Names do not tell attempts apart. A later one was prepared before it began any of these, so looking after listing is
  // enough: it sweeps when it ends, and this call may come from a controller that was replaced long ago.
  if (stale.length > 0 && !(await hasLaterAttempt(store, job))) await store.forget(stale)
}

function unlessRetriable(error: unknown): null {
  if (error instanceof ConnectorError && !error.retriable) return null
  throw error
}

/** What the manifest lists is a result again if all of it is there: not after an overwrite took the first of its files. */
async function redeclare(store: FileStore, manifest: Manifest): Promise<void> {
  if (await succeeded(store)) return
  const files = manifest.files.map(({ name, bytes }) => ({ name, finalName: name, receipt: '', bytes }))
  if ((await store.missing(files)).length === 0) await store.put(SUCCESS, new Uint8Array(0))
}

export async function succeeded(store: FileStore): Promise<boolean> {
  return (await store.read(SUCCESS)) !== null
}

/** All parts, after making sure that they are all rows of all lanes. */
async function verifiedParts(store: FileStore, job: SinkJob, rows: bigint): Promise<PartRecord[]> {
  const names = await listStaging(store, job)
  const lanes = await Promise.all(job.lanes.map((lane) => readLane(store, job, lane, names)))
  const faults = lanes.flatMap((lane, i) => laneFault(job.lanes[i] as number, lane))
  const staged = lanes.reduce((sum, lane) => sum + lane.position.rows, 0n)
  if (staged !== rows) faults.push(`expected ${rows} rows in all, ${staged} are staged`)
  const parts = lanes.flatMap((lane) => lane.parts)
  const missing = await store.missing(parts.map((part) => stagedPart(job, part)))
  faults.push(...missing.map((part) => `${part.name} is not there, or not of its size, ${part.bytes} bytes`))
  if (faults.length > 0) {
    throw new ConnectorError('rows_lost', `${store.location}: ${faults.join('; ')}`, { retriable: false })
  }
  return parts
}

/** Parts with rows; one without when there is none: nothing to show, but the result must be readable. */
async function partsToShow(store: FileStore, job: SinkJob, parts: readonly PartRecord[]): Promise<PartRecord[]> {
  const filled = parts.filter((part) => part.rows > 0)
  if (filled.length > 0) return filled
  return [parts[0] ?? (await stageEmptyPart(store, job, await readPlan(store, job)))]
}

function laneFault(lane: number, { parts, end }: StagedLane): string[] {
  if (end === null) return [`lane ${lane} has not ended`]
  const chunks = (parts.at(-1)?.lastSeq ?? -1) + 1
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  if (chunks === end.chunks && rows === end.rows) return []
  return [`lane ${lane}: expected ${end.chunks} chunks with ${end.rows} rows, ${chunks} with ${rows} are staged`]
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

function sinkResult(store: FileStore, { rows, bytes }: ManifestResult): SinkResult {
  return { rows: BigInt(rows), bytes: BigInt(bytes), location: store.location }
}
