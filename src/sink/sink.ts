// SINK: consumes scored chunks and makes them durable through the destination's connector. The offset that is committed
// is that of the oldest chunk not durable yet; after a passing failure the lane is read again from there.
import { ConnectorError } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { parseScoredHeaders, type SinkKind, scoredTopics } from '../../topics/scored.ts'
import { Backoff, SHARED_PATIENCE_MS } from '../backoff.ts'
import { deadRecord } from '../kafka/dead-record.ts'
import type { Lane, LaneRecord } from '../kafka/lane.ts'
import { consumeLanes } from '../kafka/lane-consumer.ts'
import { Ledger } from '../kafka/ledger.ts'
import { untilOver, wantedJob } from '../kafka/wanted.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { EarlyLanes } from './early-lanes.ts'
import { LaneJob } from './lane-job.ts'
import { isOver, outputsOf } from './lane-outputs.ts'

/** Bytes taken at once: what goes into one transaction of a table. Larger ones cost memory, smaller ones round trips. */
const TAKE_BYTES = 1024 * 1024

/**
 * From one take of a lane to the next, unless that many bytes or a lane's end are there before. Of 2,000,000 rows, COPY in
 * transactions of 10 chunks cost Postgres 1.9 to 2.2 s of CPU time, of 37 chunks 1.6 to 1.8 s.
 */
const LINGER_MS = 250

export async function startSink(context: ProcessContext): Promise<RunningRole> {
  const consumers = await Promise.all(
    context.config.sinkKinds.map((kind) =>
      consumeLanes(context.client, {
        group: `sink.${kind}`,
        topics: [scoredTopics[kind]],
        onLane: (lane) => runLane(lane, kind, context),
        onFatal: context.onFatal,
      }),
    ),
  )
  return {
    owned: () => [...new Set(consumers.flatMap((consumer) => consumer.owned()))].sort((a, b) => a - b),
    drain: async () => {
      await Promise.all(consumers.map((consumer) => consumer.drain()))
    },
  }
}

async function runLane(lane: Lane, kind: SinkKind, context: ProcessContext): Promise<void> {
  const early = new EarlyLanes(lane, kind, context)
  const state: LaneState = { kind, jobs: new Map(), early, broken: new Set() }
  const backoff = new Backoff(SHARED_PATIENCE_MS)
  try {
    await tellAgain(lane, state, context)
    let records = await lane.next(TAKE_BYTES)
    while (records) {
      const until = performance.now() + LINGER_MS
      const end = context.activity.begin()
      try {
        await takeIn(records, lane, state, context)
        backoff.reset()
      } catch (error) {
        end()
        if (lane.revoked.aborted) return
        if (!(error instanceof LaneJobError)) throw error
        await settle(error, lane, state, backoff, context)
      } finally {
        end()
      }
      records = await lane.next(TAKE_BYTES, { until, last: isEnd })
    }
  } finally {
    early.close()
    await closeAll(state)
  }
}

/** A lane's end: its job waits for nothing else. */
function isEnd({ headers }: LaneRecord): boolean {
  return headers.type?.toString() === 'end'
}

/**
 * A sink that died after it committed a lane's end, and before the ledger knew of it, left no record that would remind
 * anybody: so whoever takes the lane over asks what is durable, and says it again. Nothing is read of the lane before that,
 * so all jobs together have the patience of one: what is not told now is told when there is something to write.
 */
async function tellAgain(lane: Lane, state: LaneState, context: ProcessContext): Promise<void> {
  const backoff = new Backoff(SHARED_PATIENCE_MS)
  for (const job of context.views.activeJobs()) {
    if (job.status !== 'running' || !job.lanes.includes(lane.partition)) continue
    for (const output of outputsOf(job, state.kind)) await tellAgainOf(job, output, lane, backoff, context)
  }
}

async function tellAgainOf(
  job: JobSnapshot,
  output: number,
  lane: Lane,
  backoff: Backoff,
  context: ProcessContext,
): Promise<void> {
  for (;;) {
    try {
      const laneJob = await LaneJob.open(job, output, lane, context)
      await laneJob.tellIfDone()
      return await laneJob.close()
    } catch (error) {
      if (!(error instanceof ConnectorError)) throw error
      // What fails for good is met again when there is something to write.
      if (!error.retriable || !(await waitFor(job, lane, backoff, context))) return
      context.log.warn({ jobId: job.job_id, lane: lane.partition, err: error }, 'asking again what is durable')
    }
  }
}

/** Waits before a destination is tried again, for as long as the job and the lane are ours to serve. */
function waitFor(job: JobSnapshot, lane: Lane, backoff: Backoff, { views }: ProcessContext): Promise<boolean> {
  return untilOver(views, job, (over) => backoff.wait(AbortSignal.any([lane.ending, over])))
}

interface LaneState {
  readonly kind: SinkKind
  /** Open outputs of jobs in this lane, by `job/attempt/output`. */
  readonly jobs: Map<string, LaneJob>
  readonly early: EarlyLanes
  /** `job/attempt` that failed here: their records are skipped until the controller has said so to everyone. */
  readonly broken: Set<string>
}

/** A destination's failure, and whose it is. */
class LaneJobError extends Error {
  readonly job: JobSnapshot
  readonly failure: ConnectorError

  constructor(job: JobSnapshot, failure: ConnectorError) {
    super(failure.message, { cause: failure })
    this.name = 'LaneJobError'
    this.job = job
    this.failure = failure
  }
}

/** Accept, write, then commit and report: in this order, so that nothing is committed that is not durable. */
async function takeIn(
  records: readonly LaneRecord[],
  lane: Lane,
  state: LaneState,
  context: ProcessContext,
): Promise<void> {
  for (const record of records) await accept(record, lane, state, context)
  let commit = (records.at(-1) as LaneRecord).offset + 1n
  for (const laneJob of state.jobs.values()) {
    if (lane.revoked.aborted) return
    if (isOver(laneJob.job, context)) {
      await drop(laneJob, state)
      continue
    }
    const begun = performance.now()
    const { taken } = laneJob
    const open = await blame(laneJob.job, () => laneJob.write())
    if (taken) context.activity.chunk(laneJob.job.job_id, taken, performance.now() - begun)
    if (open !== null && open < commit) commit = open
  }
  // Whoever waits for a lane's end waits for the ledger, which tells what is durable; the offset only saves reading it again.
  await Promise.all([lane.commit(commit), ...[...state.jobs.values()].map((laneJob) => laneJob.report(commit))])
  for (const laneJob of [...state.jobs.values()]) if (laneJob.finished) await drop(laneJob, state)
}

async function accept(record: LaneRecord, lane: Lane, state: LaneState, context: ProcessContext): Promise<void> {
  let parsed: ReturnType<typeof parseScoredHeaders>
  try {
    parsed = parseScoredHeaders(record.headers)
  } catch (error) {
    await context.producer.send([deadRecord(record, lane, (error as Error).message)])
    return
  }
  const { header, failed } = parsed
  const job = await wantedJob(context.views, header)
  if (!job || isOver(job, context) || state.broken.has(keyOf(job))) return
  for (const output of outputsOf(job, state.kind)) {
    const key = `${keyOf(job)}/${output}`
    await blame(job, async () => {
      const laneJob = state.jobs.get(key) ?? (await state.early.open(job, output))
      state.jobs.set(key, laneJob)
      laneJob.accept(header, record, failed)
    })
  }
}

/**
 * After a destination's failure. Its job may be over meanwhile, and its staging gone: then nothing is wrong. A passing
 * failure is waited out and the lane read again from what is durable; any other ends the job.
 */
async function settle(
  { job, failure }: LaneJobError,
  lane: Lane,
  state: LaneState,
  backoff: Backoff,
  context: ProcessContext,
): Promise<void> {
  await context.views.caughtUp()
  if (!isOver(job, context)) {
    const end = context.activity.hold()
    const patient = failure.retriable && (await waitFor(job, lane, backoff, context))
    end()
    context.log.warn(
      {
        jobId: job.job_id,
        attempt: job.attempt,
        lane: lane.partition,
        code: failure.code,
        err: failure,
        again: patient,
      },
      'sink failed',
    )
    if (!patient && !lane.ended && !isOver(job, context)) {
      state.broken.add(keyOf(job))
      // Its patience is used up, not that of the jobs behind it.
      backoff.reset()
      await new Ledger(context, job, 'sink', lane.partition).fail({
        code: failure.code,
        message: failure.message,
        retriable: false,
      })
    }
  }
  await closeAll(state)
  await lane.rewind()
}

async function blame<T>(job: JobSnapshot, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ConnectorError) throw new LaneJobError(job, error)
    throw error
  }
}

async function drop(laneJob: LaneJob, state: LaneState): Promise<void> {
  state.jobs.delete(`${keyOf(laneJob.job)}/${laneJob.output}`)
  await laneJob.close()
}

async function closeAll(state: LaneState): Promise<void> {
  for (const laneJob of state.jobs.values()) await laneJob.close()
  state.jobs.clear()
}

function keyOf(job: JobSnapshot): string {
  return `${job.job_id}/${job.attempt}`
}
