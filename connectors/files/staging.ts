// What an attempt leaves in its staging directory, and what can be read back from it: the directory's listing is the
// truth of how far each lane is durable.
//
//   _scoreline/<job>/<attempt>/job.json               by prepare: the plan, the same for all lanes and sinks
//                              part-<lane>-<k>.<ext>  a part, written whole (not there once it is published)
//                              part-<lane>-<k>.json   written after it: from now on the part counts
//                              end-<lane>.json        the lane's totals, written last
//                              outcome                published or discarded: whichever was said first, for good
import { ConnectorError, LANE_START, type LanePosition, type SinkJob } from '../connector.ts'
import { extension } from './format.ts'
import { STAGING_ROOT } from './location.ts'
import type { PartPlan } from './part-plan.ts'
import type { FileStore, StagedPart } from './store.ts'

/** One finished part: chunks `firstSeq … lastSeq` of its lane. `rows` are written, `failedRows` left out. */
export interface PartRecord {
  readonly lane: number
  readonly k: number
  readonly firstSeq: number
  readonly lastSeq: number
  readonly rows: number
  readonly failedRows: number
  readonly bytes: number
  readonly sha256: string
  /** Of the store, to publish the part. */
  readonly receipt: string
}

/** A lane's totals. */
export interface LaneEnd {
  readonly lane: number
  readonly chunks: number
  readonly rows: number
  readonly failedRows: number
}

/** A lane as it is staged: its parts from 0 without a gap, and its end if it is there. */
export interface StagedLane {
  readonly parts: readonly PartRecord[]
  readonly end: LaneEnd | null
  readonly position: LanePosition
}

export function stagingDirectory(job: SinkJob): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(job.resultId))
    throw new TypeError(`a job id that is no file name: ${job.resultId}`)
  return `${STAGING_ROOT}/${job.resultId}/${job.attempt}`
}

/** Names of a part: staged, its record, and published. The last carries the job, so that results never collide. */
export function partNames(job: SinkJob, lane: number, k: number): { staged: string; record: string; final: string } {
  const part = `part-${digits(lane, 4)}-${digits(k, 5)}`
  const directory = stagingDirectory(job)
  return {
    staged: `${directory}/${part}.${extension(job.output)}`,
    record: `${directory}/${part}.json`,
    final: `${part}-${job.resultId}.${extension(job.output)}`,
  }
}

/** Whether a file in the result's directory is a published part of this job. */
export function isPartOf(job: SinkJob, name: string): boolean {
  const part = /^part-\d+-\d+-(.+?)\.(?:parquet|csv|csv\.gz)$/.exec(name)
  return part?.[1] === job.resultId
}

/** Whether a later attempt of the job is prepared. */
export async function hasLaterAttempt(store: FileStore, job: SinkJob): Promise<boolean> {
  const attempts = await store.directories(`${STAGING_ROOT}/${job.resultId}`)
  return attempts.some((attempt) => Number(attempt) > job.attempt)
}

/** What the store must know of a part to publish it. */
export function stagedPart(job: SinkJob, { lane, k, receipt, bytes }: PartRecord): StagedPart {
  const names = partNames(job, lane, k)
  return { name: names.staged, finalName: names.final, receipt, bytes }
}

/** Makes the staging directory. The plan is written down, for a newer release may cut parts otherwise. */
export async function putPlan(store: FileStore, job: SinkJob, plan: PartPlan): Promise<void> {
  await store.createDirectory(stagingDirectory(job))
  if ((await store.read(planName(job))) === null) await store.put(planName(job), json(plan))
}

/** The attempt's plan; without one, `prepare` has not run here, or the attempt was discarded. */
export async function readPlan(store: FileStore, job: SinkJob): Promise<PartPlan> {
  const bytes = await store.read(planName(job))
  if (bytes !== null) return JSON.parse(bytes.toString()) as PartPlan
  throw notPrepared(store, job)
}

export function notPrepared(store: FileStore, job: SinkJob): ConnectorError {
  return new ConnectorError(
    'not_prepared',
    `${store.location}: attempt ${job.attempt} of ${job.resultId} is not prepared here, or was discarded; do controller and sinks see the same directory?`,
    { retriable: false },
  )
}

/** What becomes of an attempt that is written. */
export type Outcome = 'published' | 'discarded'

/** Settles the attempt's outcome, unless that was done; says what it is, or null when there is no such attempt (any more). */
export async function settle(store: FileStore, job: SinkJob, outcome: Outcome): Promise<Outcome | null> {
  if ((await store.read(planName(job))) === null) return null
  for (;;) {
    const first = await store.replace(outcomeName(job), null, Buffer.from(outcome)).catch(unlessNotPrepared)
    if (first === null) return null
    if (first) return outcome
    const settled = await store.read(outcomeName(job))
    if (settled !== null) return settled.toString() as Outcome
  }
}

/** Whether the outcome is settled and not all of its work done: who has done it removes the attempt's directory last. */
export async function isUnderWay(store: FileStore, job: SinkJob): Promise<boolean> {
  return (await store.read(outcomeName(job))) !== null
}

function unlessNotPrepared(error: unknown): null {
  if (error instanceof ConnectorError && error.code === 'not_prepared') return null
  throw error
}

export async function putPart(store: FileStore, job: SinkJob, part: PartRecord): Promise<void> {
  await store.put(partNames(job, part.lane, part.k).record, json(part))
}

/** The record of a part, or null when the part does not count yet. */
export async function readPart(store: FileStore, job: SinkJob, lane: number, k: number): Promise<PartRecord | null> {
  const bytes = await store.read(partNames(job, lane, k).record)
  return bytes === null ? null : (JSON.parse(bytes.toString()) as PartRecord)
}

/** The records of all parts in the staging directory, in no order. */
export async function readAllParts(store: FileStore, job: SinkJob): Promise<PartRecord[]> {
  const parts: PartRecord[] = []
  for (const name of await listStaging(store, job)) {
    const match = /^part-(\d+)-(\d+)\.json$/.exec(name)
    const part = match && (await readPart(store, job, Number(match[1]), Number(match[2])))
    if (part) parts.push(part)
  }
  return parts
}

export async function putEnd(store: FileStore, job: SinkJob, end: LaneEnd): Promise<void> {
  await store.put(endName(job, end.lane), json(end))
}

/** Restores one lane. `names` is the listing of the staging directory. */
export async function readLane(
  store: FileStore,
  job: SinkJob,
  lane: number,
  names: ReadonlySet<string>,
): Promise<StagedLane> {
  const parts: PartRecord[] = []
  for (;;) {
    const { record } = partNames(job, lane, parts.length)
    const part = names.has(baseName(record)) ? await readPart(store, job, lane, parts.length) : null
    if (part === null) break
    if (part.firstSeq !== (parts.at(-1)?.lastSeq ?? -1) + 1) {
      throw new ConnectorError(
        'staging_damaged',
        `${record}: begins with chunk ${part.firstSeq}, which does not follow`,
        {
          retriable: false,
        },
      )
    }
    parts.push(part)
  }
  const bytes = names.has(baseName(endName(job, lane))) ? await store.read(endName(job, lane)) : null
  const end = bytes === null ? null : (JSON.parse(bytes.toString()) as LaneEnd)
  return { parts, end, position: positionOf(parts, end) }
}

export async function listStaging(store: FileStore, job: SinkJob): Promise<ReadonlySet<string>> {
  return new Set(await store.list(stagingDirectory(job)))
}

function positionOf(parts: readonly PartRecord[], end: LaneEnd | null): LanePosition {
  const reached = parts.reduce((position, part) => advance(position, part), LANE_START)
  // An end is written beside the last part's record, so that one may survive a crash without the other.
  return { ...reached, done: end !== null && end.chunks === reached.chunks }
}

/** The position after a part. */
export function advance(position: LanePosition, part: PartRecord): LanePosition {
  return {
    chunks: part.lastSeq + 1,
    rows: position.rows + BigInt(part.rows),
    failedRows: position.failedRows + BigInt(part.failedRows),
    bytes: position.bytes + BigInt(part.bytes),
    done: false,
  }
}

function planName(job: SinkJob): string {
  return `${stagingDirectory(job)}/job.json`
}

function outcomeName(job: SinkJob): string {
  return `${stagingDirectory(job)}/outcome`
}

function endName(job: SinkJob, lane: number): string {
  return `${stagingDirectory(job)}/end-${digits(lane, 4)}.json`
}

function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0')
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`)
}
