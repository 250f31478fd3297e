// SCORER: consumes the chunks of its pool, scores them and passes the predictions on in the same lane, in the same order.
// A crash makes the next owner score the uncommitted chunks again; the sink drops what it has already.
import { type ChunkHeader, chunksTopics, parseChunkHeaders } from '../../topics/chunks.ts'
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { isTerminal } from '../../topics/jobs.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import { scoredHeaders, scoredTopics, sinkKind } from '../../topics/scored.ts'
import { Backoff, SHARED_PATIENCE_MS } from '../backoff.ts'
import { ConfigError } from '../config.ts'
import { deadRecord } from '../kafka/dead-record.ts'
import { scorerGroup } from '../kafka/drained-lanes.ts'
import type { Lane, LaneRecord } from '../kafka/lane.ts'
import { consumeLanes } from '../kafka/lane-consumer.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'
import { untilOver, wantedJob } from '../kafka/wanted.ts'
import { ModelError } from '../model/model.ts'
import { requireProviders } from '../model/session.ts'
import { openModelStore } from '../model/store.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { deadRows } from './dead-rows.ts'
import { LaneLedgers } from './lane-ledgers.ts'
import { LoadedModels } from './loaded-models.ts'
import { scoreChunk } from './score-chunk.ts'

/**
 * Bytes of chunks taken at once: their predictions go in one send and one commit, which costs as much as scoring a
 * chunk or two; larger, and a crash would repeat more.
 */
const TAKE_BYTES = 512 * 1024
/** With a slow model what is scored goes on after this long: progress shows, and a small job's chunk behind it waits less. */
const SEND_MS = 200

export async function startScorer(context: ProcessContext): Promise<RunningRole> {
  const { config, views } = context
  await requireProviders(config.scorerProviders).catch((error: Error) => {
    throw new ConfigError([`SCORER_PROVIDERS: ${error.message}`])
  })
  const models = new LoadedModels(await openModelStore(config.modelStore), config.scorerProviders)
  views.changes.on('job', (job) => {
    if (isTerminal(job.status)) models.forget(job.job_id)
  })
  const consumer = await consumeLanes(context.client, {
    group: scorerGroup(config.scorerPool),
    topics: [chunksTopics[config.scorerPool]],
    onLane: (lane) => runLane(lane, models, context),
    onFatal: context.onFatal,
  })
  return {
    owned: consumer.owned,
    drain: async () => {
      await consumer.drain()
      await models.close()
    },
  }
}

async function runLane(lane: Lane, models: LoadedModels, context: ProcessContext): Promise<void> {
  const ledgers = new LaneLedgers(lane.partition, context)
  for (let records = await lane.next(TAKE_BYTES); records; records = await lane.next(TAKE_BYTES)) {
    const end = context.activity.begin()
    try {
      await scoreAll(records, lane, ledgers, models, context)
    } finally {
      end()
    }
  }
}

async function scoreAll(
  records: readonly LaneRecord[],
  lane: Lane,
  ledgers: LaneLedgers,
  models: LoadedModels,
  context: ProcessContext,
): Promise<void> {
  let scored: OutgoingRecord[] = []
  let since = performance.now()
  for (const record of records) {
    if (lane.revoked.aborted) return
    const outgoing = await scoreRecord(record, lane, ledgers, models, context)
    if (outgoing === null) return
    scored.push(...outgoing)
    if (record !== records.at(-1) && performance.now() - since < SEND_MS) continue
    if (lane.revoked.aborted) return
    if (scored.length) await context.producer.send(scored)
    const next = record.offset + 1n
    await lane.commit(next)
    await ledgers.report(next)
    scored = []
    since = performance.now()
  }
}

/** What a chunk becomes in the scored topic; nothing if it is not wanted any more; null if the lane ended before it was scored. */
async function scoreRecord(
  record: LaneRecord,
  lane: Lane,
  ledgers: LaneLedgers,
  models: LoadedModels,
  context: ProcessContext,
): Promise<OutgoingRecord[] | null> {
  let header: ChunkHeader
  try {
    header = parseChunkHeaders(record.headers)
  } catch (error) {
    return [deadRecord(record, lane, (error as Error).message)]
  }
  const backoff = new Backoff(SHARED_PATIENCE_MS)
  for (;;) {
    const job = await wantedJob(context.views, header)
    if (!job || ledgers.hasFailed(job)) return []
    try {
      return await scoreWanted(header, record, job, lane, ledgers, models, context)
    } catch (error) {
      // What the model or the chunk's bytes are to blame for ends the job; anything else the process, and the lane moves.
      if (!(error instanceof ModelError || error instanceof ChunkError)) throw error
      const { code, message } = error
      if (code === 'model_store_unavailable') {
        context.log.warn({ jobId: job.job_id, lane: lane.partition, err: error }, 'waiting for the model')
        const again = await untilOver(context.views, job, (over) => backoff.wait(AbortSignal.any([lane.ending, over])))
        if (lane.ended) return null
        if (again || !(await wantedJob(context.views, header))) continue
      }
      await ledgers.fail(job, { code, message, retriable: false })
      return []
    }
  }
}

async function scoreWanted(
  header: ChunkHeader,
  record: LaneRecord,
  job: JobSnapshot,
  lane: Lane,
  ledgers: LaneLedgers,
  models: LoadedModels,
  context: ProcessContext,
): Promise<OutgoingRecord[]> {
  if (header.type === 'end') {
    ledgers.ended(job, header)
    return scoredRecords(job, lane, Buffer.alloc(0), scoredHeaders(header, []))
  }
  const model = await context.views.findModel(job.tenant_id, job.model_id, job.model_version)
  if (!model)
    throw new ModelError('model_missing', `model ${job.model_id}@${job.model_version} is not registered any more`)
  const begun = performance.now()
  const columns = readChunk(record, header.rows)
  const { batch, failed } = await models.use(job, model, ({ session, plan }) => scoreChunk(session, plan, columns))
  const payload = encodeColumns(batch)
  const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  ledgers.scored(job, header, failed.length, value.byteLength)
  context.activity.chunk(job.job_id, header.rows, performance.now() - begun)
  return [
    ...scoredRecords(job, lane, value, scoredHeaders(header, failed)),
    ...deadRows(job, header, record, lane, failed),
  ]
}

/** The same record in each topic that some output of the job reads. */
function scoredRecords(job: JobSnapshot, lane: Lane, value: Buffer, headers: Record<string, string>): OutgoingRecord[] {
  const kinds = new Set(job.outputs.map(({ destination }) => sinkKind(destination)))
  return [...kinds].map((kind) => ({ topic: scoredTopics[kind], partition: lane.partition, value, headers }))
}

/** A chunk's payload is not what its header says. */
class ChunkError extends Error {
  readonly code = 'chunk_damaged'
}

function readChunk(record: LaneRecord, rows: number): ColumnBatch {
  let batch: ColumnBatch
  try {
    batch = decodeColumns(record.value ?? new Uint8Array(0))
  } catch (error) {
    throw new ChunkError(`offset ${record.offset}: ${(error as Error).message}`, { cause: error })
  }
  if (batch.rows !== rows) throw new ChunkError(`offset ${record.offset}: expected ${rows} rows, got ${batch.rows}`)
  return batch
}
