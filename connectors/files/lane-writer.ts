// One lane of one attempt on its way into part files. A part counts when its record is there; until then its chunks are
// not durable, their offsets stay uncommitted, and a crash brings them again, into the same bytes.
import { createHash, type Hash } from 'node:crypto'
import { ConnectorError, type LanePosition, type LaneWriter, type ScoredChunk, type SinkJob } from '../connector.ts'
import type { PartEncoder } from './encoder.ts'
import { PartErrors } from './errors.ts'
import { partEncoder } from './format.ts'
import { type PartPlan, partOf, partRange } from './part-plan.ts'
import { advance, type PartRecord, partNames, putEnd, putPart, readPart } from './staging.ts'
import type { FileStore, PartFile } from './store.ts'

/** The part that is being filled. */
interface OpenPart {
  readonly k: number
  readonly file: PartFile
  readonly encoder: PartEncoder
  readonly hash: Hash
  bytes: number
  rows: number
  failedRows: number
  readonly errors: PartErrors
}

export class FileLaneWriter implements LaneWriter {
  readonly #store: FileStore
  readonly #job: SinkJob
  readonly #lane: number
  readonly #plan: PartPlan
  #position: LanePosition
  #nextSeq: number
  #part: OpenPart | null = null
  /** After an error the open part is incomplete for good: the lane has to be opened again, at its durable position. */
  #failure: unknown = null

  constructor(store: FileStore, job: SinkJob, lane: number, plan: PartPlan, position: LanePosition) {
    this.#store = store
    this.#job = job
    this.#lane = lane
    this.#plan = plan
    this.#position = position
    this.#nextSeq = position.chunks
  }

  get position(): LanePosition {
    return this.#position
  }

  write(chunks: readonly ScoredChunk[]): Promise<LanePosition> {
    return this.#step(async () => {
      for (const chunk of chunks) {
        if (this.#position.done || chunk.seq !== this.#nextSeq) {
          const expected = this.#position.done ? 'no chunk after the end' : `chunk ${this.#nextSeq}`
          const message = `lane ${this.#lane} of ${this.#job.resultId}: expected ${expected}, got chunk ${chunk.seq}`
          throw new ConnectorError('chunk_gap', message, { retriable: false })
        }
        await this.#add(chunk)
        this.#nextSeq++
        if (chunk.seq === partRange(this.#plan, partOf(this.#plan, chunk.seq)).lastSeq) await this.#finishPart()
      }
      return this.#position
    })
  }

  end(): Promise<LanePosition> {
    return this.#step(async () => {
      if (this.#position.done) return this.#position
      await this.#finishPart()
      const { chunks, rows, failedRows } = this.#position
      const totals = { lane: this.#lane, chunks, rows: Number(rows), failedRows: Number(failedRows) }
      await putEnd(this.#store, this.#job, totals)
      this.#position = { ...this.#position, done: true }
      return this.#position
    })
  }

  async close(): Promise<void> {
    const part = this.#part
    this.#part = null
    this.#failure ??= new ConnectorError('writer_closed', `the writer of lane ${this.#lane} is closed`, {
      retriable: true,
    })
    await part?.file.abort()
  }

  async #step(work: () => Promise<LanePosition>): Promise<LanePosition> {
    if (this.#failure !== null) throw this.#failure
    try {
      return await work()
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  async #add(chunk: ScoredChunk): Promise<void> {
    this.#part ??= await openPart(this.#store, this.#job, this.#lane, partOf(this.#plan, chunk.seq), this.#plan)
    const part = this.#part
    await append(part, await part.encoder.add(chunk.batch))
    part.rows += chunk.batch.rows
    part.failedRows += chunk.failed.length
    part.errors.add(chunk.seq, chunk.failed)
  }

  async #finishPart(): Promise<void> {
    const part = this.#part
    if (part === null) return
    const firstSeq = partRange(this.#plan, part.k).firstSeq
    const lastSeq = this.#nextSeq - 1
    const record = await commitPart(this.#store, this.#job, part, { lane: this.#lane, firstSeq, lastSeq })
    this.#part = null
    this.#position = advance(this.#position, record)
  }
}

/** Writes a part without a row, so that an empty result can be read too. */
export async function stageEmptyPart(store: FileStore, job: SinkJob, plan: PartPlan): Promise<PartRecord> {
  const lane = job.lanes[0] ?? 0
  const part = await openPart(store, job, lane, 0, plan)
  try {
    return await commitPart(store, job, part, { lane, firstSeq: 0, lastSeq: -1 })
  } catch (error) {
    await part.file.abort()
    throw error
  }
}

async function openPart(store: FileStore, job: SinkJob, lane: number, k: number, plan: PartPlan): Promise<OpenPart> {
  const { staged, final } = partNames(job, lane, k)
  const encoder = partEncoder(job.output, job.columns, plan.groupChunks)
  const file = await store.begin(staged, final)
  return {
    k,
    file,
    encoder,
    hash: createHash('sha256'),
    bytes: 0,
    rows: 0,
    failedRows: 0,
    errors: new PartErrors(job, lane),
  }
}

async function append(part: OpenPart, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return
  part.hash.update(bytes)
  part.bytes += bytes.length
  await part.file.write(bytes)
}

/** Makes the part count: first its file, then its record. */
async function commitPart(
  store: FileStore,
  job: SinkJob,
  part: OpenPart,
  range: { lane: number; firstSeq: number; lastSeq: number },
): Promise<PartRecord> {
  await append(part, await part.encoder.finish())
  const { k, rows, failedRows, bytes } = part
  const record = { ...range, k, rows, failedRows, bytes, sha256: part.hash.digest('hex') }
  const there = await readPart(store, job, range.lane, k)
  if (there === null) {
    await part.errors.stage(store, k)
    const receipt = await part.file.commit()
    await putPart(store, job, { ...record, receipt })
    return { ...record, receipt }
  }
  // Another writer of this lane was faster. The same part: nothing to add. Another one: it got further, or less far.
  await part.file.abort()
  if (there.sha256 === record.sha256 && there.lastSeq === record.lastSeq) return there
  throw new ConnectorError(
    'lane_taken',
    `lane ${range.lane} of ${job.resultId}: another writer has finished part ${k}`,
    {
      retriable: true,
    },
  )
}
