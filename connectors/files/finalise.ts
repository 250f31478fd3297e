// From staged parts to a result that readers see, or to nothing. A controller may die anywhere in this, and one that hangs may come
// back when others have long gone on, so two may be at any two steps of it at once, and nothing stops one between a look and a write.
// What makes that safe is the order:
//
// - Whether the attempt becomes the result is settled by one conditional write in its staging directory, before anything that
//   readers see has changed. Who comes later with the other outcome gets the first one, and when the directory is gone nobody can
//   settle any more: a late finaliser of a discarded attempt has changed nothing. An old result goes only for a published one.
// - A published attempt is carried out by whoever comes by, a discard too: the steps do the same whoever does them. Those that a late
//   one repeats are harmless (parts are moved, old files named by their job are removed) or are refused (the manifest, if
//   it is not as it was read). For `_SUCCESS`, which no store removes on a condition, see `carryOut`.
import { ConnectorError, type SinkJob, type SinkResult } from '../connector.ts'
import { carryOut, declare, endAttempt } from './carry-out.ts'
import { removeErrors } from './errors.ts'
import { stageEmptyPart } from './lane-writer.ts'
import { type ManifestResult, readManifest, resultOf } from './manifest.ts'
import {
  listStaging,
  notPrepared,
  type PartRecord,
  readAllParts,
  readLane,
  readPlan,
  type StagedLane,
  settle,
  stagedPart,
} from './staging.ts'
import type { FileStore } from './store.ts'

/** Publishes the attempt's parts as the result, or throws before anything that is visible has changed. */
export async function publishResult(store: FileStore, job: SinkJob, rows: bigint): Promise<SinkResult> {
  const before = await finishedResult(store, job)
  if (before !== null) return before
  try {
    const parts = await verifiedParts(store, job, rows)
    // A result without a row must be readable too.
    if (parts.length === 0) parts.push(await stageEmptyPart(store, job, await readPlan(store, job)))
    if ((await settle(store, job, 'published')) !== 'published') throw notPrepared(store, job)
    return sinkResult(store, await carryOut(store, job, parts))
  } catch (error) {
    // Another controller may have been faster, and have removed what was staged while this one was looking at it.
    const others = isLasting(error) ? await finishedResult(store, job) : null
    if (others !== null) return others
    throw error
  }
}

/** The result, if the manifest lists it: then `_SUCCESS` and tidying up is all that may be left to do. */
async function finishedResult(store: FileStore, job: SinkJob): Promise<SinkResult | null> {
  const manifest = await readManifest(store)
  const result = resultOf(manifest, job)
  if (manifest === null || result === undefined || !(await declare(store, manifest))) return null
  await endAttempt(store, job)
  return sinkResult(store, result)
}

/** Takes back what an attempt has staged. One that is published already, but not to the end, becomes the result. */
export async function discardAttempt(store: FileStore, job: SinkJob): Promise<void> {
  if ((await settle(store, job, 'discarded')) === 'published' && (await carriedOut(store, job))) return
  // A manifest that somebody has damaged names nothing that is kept for its sake.
  const manifest = await readManifest(store).catch(unlessRetriable)
  const parts = await readAllParts(store, job)
  if (resultOf(manifest, job) === undefined) {
    await store.withdraw(parts.map((part) => stagedPart(job, part)))
    await removeErrors(store, (resultId) => resultId === job.resultId)
  }
  // What could not be carried out has undeclared the manifest's result, old or new.
  if (manifest !== null && parts.length > 0) await declare(store, manifest)
  await endAttempt(store, job)
}

/** False when it never can be: a part is lost, the directory is another's now. Then all of it is taken back. */
async function carriedOut(store: FileStore, job: SinkJob): Promise<boolean> {
  const parts = await verifiedParts(store, job).catch(unlessRetriable)
  return parts !== null && (await carryOut(store, job, parts).catch(unlessRetriable)) !== null
}

function isLasting(error: unknown): boolean {
  return error instanceof ConnectorError && !error.retriable
}

function unlessRetriable(error: unknown): null {
  if (isLasting(error)) return null
  throw error
}

/** All parts, after making sure that they are all rows of all lanes (and so many, where that is known). */
async function verifiedParts(store: FileStore, job: SinkJob, rows?: bigint): Promise<PartRecord[]> {
  const names = await listStaging(store, job)
  const lanes = await Promise.all(job.lanes.map((lane) => readLane(store, job, lane, names)))
  const faults = lanes.flatMap((lane, i) => laneFault(job.lanes[i] as number, lane))
  const staged = lanes.reduce((sum, lane) => sum + lane.position.rows, 0n)
  if (rows !== undefined && staged !== rows) faults.push(`expected ${rows} rows in all, ${staged} are staged`)
  const parts = lanes.flatMap((lane) => lane.parts)
  const missing = await store.missing(parts.map((part) => stagedPart(job, part)))
  faults.push(...missing.map((part) => `${part.name} is not there, or not of its size, ${part.bytes} bytes`))
  if (faults.length > 0) {
    throw new ConnectorError('rows_lost', `${store.location}: ${faults.join('; ')}`, { retriable: false })
  }
  return parts
}

function laneFault(lane: number, { parts, end }: StagedLane): string[] {
  if (end === null) return [`lane ${lane} has not ended`]
  const chunks = (parts.at(-1)?.lastSeq ?? -1) + 1
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  if (chunks === end.chunks && rows === end.rows) return []
  return [`lane ${lane}: expected ${end.chunks} chunks with ${end.rows} rows, ${chunks} with ${rows} are staged`]
}

function sinkResult(store: FileStore, { rows, bytes }: ManifestResult): SinkResult {
  return { rows: BigInt(rows), bytes: BigInt(bytes), location: store.location }
}
