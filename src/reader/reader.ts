// READER: consumes read tasks and runs each as a stream of its own beside the others. A task's offset is committed when
// the task is over, so the tasks of a reader that dies come again to another. With a key column that one goes on in the
// same attempt; without, it asks for a new attempt: the dead one's rows may have come in another order.
import { setTimeout as pause } from 'node:timers/promises'
import { ConnectorError } from '../../connectors/connector.ts'
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import { type ProgressEntry, READ_SLOT } from '../../topics/progress.ts'
import { type ReadTask, readCodec, readsTopic } from '../../topics/reads.ts'
import type { Lane } from '../kafka/lane.ts'
import { consumeLanes } from '../kafka/lane-consumer.ts'
import { Ledger } from '../kafka/ledger.ts'
import { withSchemas } from '../kafka/schemas.ts'
import { knownWithin, untilOver, wantedJob } from '../kafka/wanted.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { GatheredCommits } from './gathered-commits.ts'
import { type Ending, type ReadSignals, runKeyedRead } from './keyed-read.ts'
import { LaneSenders } from './lane-senders.ts'
import { OpenOffsets } from './open-offsets.ts'
import { readAll } from './read-task.ts'

/** A task and its job's snapshot are one transaction, and two consumers: one of them has it first. Past this Kafka is asked where the log ends. */
const SNAPSHOT_BEHIND_MS = 20

/** Reads of this process by job and attempt. */
type Reads = Map<string, Promise<Ending>>

export async function startReader(context: ProcessContext): Promise<RunningRole> {
  const reads: Reads = new Map()
  const stop = new AbortController()
  context.views.changes.on('job', (job) => {
    if (isTerminal(job.status))
      for (let attempt = 1; attempt <= job.attempt; attempt++) reads.delete(readKey(job.job_id, attempt))
  })
  const consumer = await consumeLanes(context.client, {
    group: 'reader',
    topics: [readsTopic],
    onLane: (lane) => runPartition(lane, reads, context, stop.signal),
    onFatal: context.onFatal,
  })
  return {
    owned: consumer.owned,
    drain: async () => {
      // A read that is cut short is not committed: whoever gets the task next goes on, or asks for a new attempt.
      stop.abort()
      await consumer.drain()
    },
  }
}

async function runPartition(lane: Lane, reads: Reads, context: ProcessContext, stop: AbortSignal): Promise<void> {
  const offsets = new OpenOffsets()
  const commits = new GatheredCommits((offset) => lane.commit(offset))
  const tasks = new Set<Promise<void>>()
  for (let records = await lane.next(); records; records = await lane.next()) {
    for (const record of records) {
      offsets.open(record.offset)
      const tracked: Promise<void> = (
        record.value ? taken(record.value, lane, reads, context, stop) : Promise.resolve(true)
      )
        .then((over) => {
          if (over) commits.soon(offsets.close(record.offset), context.onFatal)
        })
        .catch(context.onFatal)
        .finally(() => tasks.delete(tracked))
      tasks.add(tracked)
    }
  }
  // After a rebalance the reads go on: most often the partition comes back to this process, and joins them again.
  if (!lane.revoked.aborted) await Promise.all(tasks)
  await commits.flush()
}

async function taken(
  value: Buffer,
  lane: Lane,
  reads: Reads,
  context: ProcessContext,
  stop: AbortSignal,
): Promise<boolean> {
  return perform(await withSchemas(context.client, () => readCodec.decode(value)), lane, reads, context, stop)
}

/** Sees a task through, as long as it is ours. Whether it is over, for good or bad. */
async function perform(
  task: ReadTask,
  lane: Lane,
  reads: Reads,
  context: ProcessContext,
  stop: AbortSignal,
): Promise<boolean> {
  for (;;) {
    const ending = await join(task, reads, context, stop)
    if (ending !== 'interrupted') return ending === 'over'
    // Two heartbeats: a process that was paused learns in this time that the task is another's now, and a database that
    // restarts comes back.
    const ended = AbortSignal.any([stop, lane.ending])
    await pause(context.client.sessionTimeoutMs / 2, undefined, { signal: ended }).catch(() => {})
    if (lane.ended) return false
  }
}

/** Begins a read, or joins it if this process is (or was) at it already. One that was interrupted can be begun again. */
function join(task: ReadTask, reads: Reads, context: ProcessContext, stop: AbortSignal): Promise<Ending> {
  const key = readKey(task.job_id, task.attempt)
  const known = reads.get(key)
  if (known) return known
  const read = runTask(task, context, stop).then((ending) => {
    if (ending === 'interrupted') reads.delete(key)
    return ending
  })
  reads.set(key, read)
  return read
}

function readKey(jobId: string, attempt: number): string {
  return `${jobId}/${attempt}`
}

/** Runs a task unless it is out of date. */
async function runTask(task: ReadTask, context: ProcessContext, stop: AbortSignal): Promise<Ending> {
  const { views } = context
  await knownWithin(views, task.job_id, SNAPSHOT_BEHIND_MS)
  const job = await wantedJob(views, { jobId: task.job_id, attempt: task.attempt })
  if (!job || isRead(job, context)) return 'over'
  const run = job.input.key_column === null ? runRead : runKeyedRead
  return untilOver(views, job, (cancelled) => run(job, context, { stop, cancelled }))
}

/** A read that cannot be resumed: the first reader to claim the attempt is the only one. */
async function runRead(job: JobSnapshot, context: ProcessContext, { stop, cancelled }: ReadSignals): Promise<Ending> {
  const { log } = context
  const about = { jobId: job.job_id, attempt: job.attempt }
  const ledger = new Ledger(context, job, 'read', -1)
  // The query begins meanwhile; nothing of it leaves before the attempt is known to be ours.
  const claimed = claim(job, context)
  const taken = claimed.then(
    () => null,
    (error: Error) => (error instanceof AttemptTaken ? error : null),
  )
  try {
    const outlet = new LaneSenders(job, context, claimed)
    const complete = await readAll(job, outlet, context, AbortSignal.any([stop, cancelled]))
    return complete || cancelled.aborted ? 'over' : 'stopped'
  } catch (error) {
    const other = await taken
    if (other) {
      log.warn(about, 'another reader began this attempt; asking for a new one')
      await ledger.fail({ code: 'reader_lost', message: other.message, retriable: true })
      return 'over'
    }
    if (stop.aborted) return 'stopped'
    if (cancelled.aborted) return 'over'
    log.warn({ ...about, err: error }, 'read failed')
    const known = error instanceof ConnectorError
    const message = (error as Error).message
    await ledger.fail({ code: known ? error.code : 'read_failed', message, retriable: known ? error.retriable : true })
    return 'over'
  }
}

function isRead(job: JobSnapshot, { views }: ProcessContext): boolean {
  const entry = views.progressOf(job.job_id).get(READ_SLOT)
  return entry !== undefined && entry.attempt === job.attempt && (entry.done || entry.error !== null)
}

/** Another reader has begun this attempt, and was lost: nobody gets its read task a second time otherwise. */
class AttemptTaken extends Error {}

/**
 * Claims the attempt: of all claims the first in the log wins, so two readers never both send its chunks. Throws
 * `AttemptTaken` unless ours is the first.
 */
async function claim(job: JobSnapshot, context: ProcessContext): Promise<void> {
  const { views, workerId } = context
  const first = (): ProgressEntry | undefined =>
    [...views.progressOf(job.job_id).values()].find((entry) => entry.stage === 'claim' && entry.attempt === job.attempt)
  const requireOurs = (): void => {
    if (first()?.worker_id !== workerId) throw new AttemptTaken('the reader stopped before the query was read')
  }
  if (first() !== undefined) return requireOurs()
  const seen = new Promise<void>((resolve) => {
    const onProgress = (entry: ProgressEntry): void => {
      if (entry.job_id !== job.job_id || entry.stage !== 'claim' || entry.attempt !== job.attempt) return
      views.changes.off('progress', onProgress)
      resolve()
    }
    views.changes.on('progress', onProgress)
  })
  await new Ledger(context, job, 'claim', -1).claim()
  await seen
  requireOurs()
}
