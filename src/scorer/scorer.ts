// SCORER: consumes the chunks of its pool, scores them and passes the predictions on in the same lane, in the same order.
// A crash makes the next owner score the uncommitted chunks again; the sink drops what it has already.
import { type ChunkHeader, chunksTopics, parseChunkHeaders } from '../../topics/chunks.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { isTerminal } from '../../topics/jobs.ts'
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
import { ChunkError, type ChunkScorer, localScorer } from './chunk-scorer.ts'
import { deadRows } from './dead-rows.ts'
import { IsolatedScorer } from './isolated-scorer.ts'
import { LaneLedgers } from './lane-ledgers.ts'
import { LoadedModels } from './loaded-models.ts'
import { Suspects } from './suspects.ts'

/**
 * Bytes of chunks taken at once: their predictions go in one send and one commit, which costs as much as scoring a
 * chunk or two; larger, and a crash would repeat more.
 */
const TAKE_BYTES = 512 * 1024
/** With a slow model what is scored goes on after this long: progress shows, and a small job's chunk behind it waits less. */
const SEND_MS = 200
/** How long a drain waits for what suspects have in hand: less than the 30 s after which the process is killed. */
const SUSPECTS_DRAIN_MS = 10_000

/** What every lane of the process scores with. */
interface Scoring extends ProcessContext {
  readonly local: ChunkScorer
  readonly suspects: Suspects
}

export async function startScorer(context: ProcessContext): Promise<RunningRole> {
  const { config, views } = context
  await requireProviders(config.scorerProviders).catch((error: Error) => {
    throw new ConfigError([`SCORER_PROVIDERS: ${error.message}`])
  })
  const models = new LoadedModels(await openModelStore(config.modelStore), config.scorerProviders)
  const suspects = new Suspects(new IsolatedScorer(context.log), context.log)
  views.changes.on('job', (job) => {
    if (!isTerminal(job.status)) return
    models.forget(job.job_id)
    suspects.clear(job.job_id)
  })
  const scoring: Scoring = { ...context, local: localScorer(models), suspects }
  const consumer = await consumeLanes(context.client, {
    group: scorerGroup(config.scorerPool),
    topics: [chunksTopics[config.scorerPool]],
    owner: context.workerId,
    onLane: (lane) => runLane(lane, scoring),
    onFatal: context.onFatal,
  })
  return {
    owned: consumer.owned,
    drain: async () => {
      const late = setTimeout(() => suspects.stop(), SUSPECTS_DRAIN_MS)
      await consumer.drain()
      clearTimeout(late)
      await Promise.all([models.close(), suspects.close()])
    },
  }
}

async function runLane(lane: Lane, scoring: Scoring): Promise<void> {
  const ledgers = new LaneLedgers(lane.partition, scoring)
  // What the last owner had taken when it died; where in that it died cannot be known.
  let doubtfulBytes = lane.doubtfulBefore > 0n ? TAKE_BYTES : 0
  for (let records = await lane.next(TAKE_BYTES); records; records = await lane.next(TAKE_BYTES)) {
    const end = scoring.activity.begin()
    try {
      await scoreAll(records, doubtfulBytes, lane, ledgers, scoring)
      for (const { value } of records) doubtfulBytes -= value?.byteLength ?? 0
    } finally {
      end()
    }
  }
}

async function scoreAll(
  records: readonly LaneRecord[],
  doubtfulBytes: number,
  lane: Lane,
  ledgers: LaneLedgers,
  scoring: Scoring,
): Promise<void> {
  let scored: OutgoingRecord[] = []
  let since = performance.now()
  let doubtful = doubtfulBytes
  for (const record of records) {
    if (lane.revoked.aborted) return
    const outgoing = await scoreRecord(
      record,
      doubtful > 0 && record.offset < lane.doubtfulBefore,
      lane,
      ledgers,
      scoring,
    )
    if (outgoing === null) return
    scored.push(...outgoing)
    doubtful -= record.value?.byteLength ?? 0
    if (record !== records.at(-1) && performance.now() - since < SEND_MS) continue
    if (lane.revoked.aborted) return
    if (scored.length) await scoring.producer.send(scored)
    const next = record.offset + 1n
    await lane.commit(next)
    ledgers.report(next)
    scored = []
    since = performance.now()
  }
}

/** What a chunk becomes in the scored topic; nothing if it is not wanted any more; null if the lane ended before it was scored. */
async function scoreRecord(
  record: LaneRecord,
  doubtful: boolean,
  lane: Lane,
  ledgers: LaneLedgers,
  scoring: Scoring,
): Promise<OutgoingRecord[] | null> {
  let header: ChunkHeader
  try {
    header = parseChunkHeaders(record.headers)
  } catch (error) {
    return [deadRecord(record, lane, (error as Error).message)]
  }
  const backoff = new Backoff(SHARED_PATIENCE_MS)
  for (;;) {
    const job = await wantedJob(scoring.views, header)
    if (!job || ledgers.hasFailed(job)) return []
    if (doubtful) scoring.suspects.add(job.job_id)
    try {
      const outgoing = await scoreWanted(header, record, job, lane, ledgers, scoring)
      if (outgoing !== null || lane.ended) return outgoing
    } catch (error) {
      // What the model or the chunk's bytes are to blame for ends the job; anything else the process, and the lane moves.
      if (!(error instanceof ModelError || error instanceof ChunkError) || error.code === 'device_failed') throw error
      const { code, message } = error
      if (code === 'model_store_unavailable') {
        scoring.log.warn({ jobId: job.job_id, lane: lane.partition, err: error }, 'waiting for the model')
        const again = await untilOver(scoring.views, job, (over) => backoff.wait(AbortSignal.any([lane.ending, over])))
        if (lane.ended) return null
        if (again || !(await wantedJob(scoring.views, header))) continue
      }
      await ledgers.fail(job, { code, message, retriable: false })
      return []
    }
  }
}

/** Null when the job or the lane was over before the chunk was scored. */
async function scoreWanted(
  header: ChunkHeader,
  record: LaneRecord,
  job: JobSnapshot,
  lane: Lane,
  ledgers: LaneLedgers,
  { views, local, suspects, activity }: Scoring,
): Promise<OutgoingRecord[] | null> {
  if (header.type === 'end') {
    ledgers.ended(job, header)
    return scoredRecords(job, lane, Buffer.alloc(0), scoredHeaders(header, []))
  }
  const model = await views.findModel(job.tenant_id, job.model_id, job.model_version)
  if (!model)
    throw new ModelError('model_missing', `model ${job.model_id}@${job.model_version} is not registered any more`)
  const begun = performance.now()
  const at = `chunk ${header.seq} of lane ${lane.partition} (offset ${record.offset})`
  const work = { job, model, at, rows: header.rows, value: record.value ?? new Uint8Array(0) }
  const isolated = suspects.scorerOf(job.job_id)
  const result = isolated
    ? await untilOver(views, job, (over) => isolated.score(work, AbortSignal.any([over, lane.revoked])))
    : await local.score(work, lane.revoked)
  if (!result) return null
  const { payload, failed } = result
  const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  ledgers.scored(job, header, failed.length, value.byteLength)
  activity.chunk(job.job_id, header.rows, performance.now() - begun)
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
