// READER: consumes read tasks and runs each as a stream of its own beside the others. A task's offset is committed when
// the task is over, so the tasks of a reader that dies come again to another, which asks for a new attempt: the dead
// one's rows may have come in another order.
import { ConnectorError } from '../../connectors/connector.ts'
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { type ReadTask, readCodec, readsTopic } from '../../topics/reads.ts'
import type { Lane } from '../kafka/lane.ts'
import { consumeLanes } from '../kafka/lane-consumer.ts'
import { Ledger } from '../kafka/ledger.ts'
import { wantedJob } from '../kafka/wanted.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { OpenOffsets } from './open-offsets.ts'
import { readAll } from './read-task.ts'

/** Reads of this process by job and attempt: true once over for good or bad, false when cut short by a stop. */
type Reads = Map<string, Promise<boolean>>

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
      // A read that is cut short is not committed: whoever gets the task next sees the claim and asks for a new attempt.
      stop.abort()
      await consumer.drain()
    },
  }
}

async function runPartition(lane: Lane, reads: Reads, context: ProcessContext, stop: AbortSignal): Promise<void> {
  const offsets = new OpenOffsets()
  const tasks = new Set<Promise<void>>()
  for (let records = await lane.next(); records; records = await lane.next()) {
    for (const record of records) {
      offsets.open(record.offset)
      const tracked: Promise<void> = (
        record.value ? join(readCodec.decode(record.value), reads, context, stop) : Promise.resolve(true)
      )
        .then(async (over) => {
          if (over) await lane.commit(offsets.close(record.offset))
        })
        .catch(context.onFatal)
        .finally(() => tasks.delete(tracked))
      tasks.add(tracked)
    }
  }
  // After a rebalance the reads go on: most often the partition comes back to this process, and joins them again.
  if (!lane.revoked.aborted) await Promise.all(tasks)
}

/** Begins a read, or joins it if this process is (or was) at it already. */
function join(task: ReadTask, reads: Reads, context: ProcessContext, stop: AbortSignal): Promise<boolean> {
  const key = readKey(task.job_id, task.attempt)
  const read = reads.get(key) ?? runTask(task, context, stop)
  reads.set(key, read)
  return read
}

function readKey(jobId: string, attempt: number): string {
  return `${jobId}/${attempt}`
}

/** Runs a task unless it is out of date. Whether it is over, for good or bad; false when it was cut short. */
async function runTask(task: ReadTask, context: ProcessContext, stop: AbortSignal): Promise<boolean> {
  const { views, log } = context
  const job = await wantedJob(views, { jobId: task.job_id, attempt: task.attempt })
  if (!job || isRead(job, context)) return true
  const ledger = new Ledger(context, job, 'read', -1)
  if (!(await claim(job, context))) {
    log.warn({ jobId: job.job_id, attempt: job.attempt }, 'another reader began this attempt; asking for a new one')
    await ledger.fail({ code: 'reader_lost', message: 'the reader stopped before the query was read', retriable: true })
    return true
  }
  const cancelled = new AbortController()
  const onJob = (change: JobSnapshot): void => {
    if (change.job_id === job.job_id && (isTerminal(change.status) || change.attempt !== job.attempt)) cancelled.abort()
  }
  views.changes.on('job', onJob)
  try {
    await readAll(job, context, AbortSignal.any([stop, cancelled.signal]))
    return !stop.aborted
  } catch (error) {
    if (stop.aborted) return false
    if (cancelled.signal.aborted) return true
    log.warn({ jobId: job.job_id, attempt: job.attempt, err: error }, 'read failed')
    const known = error instanceof ConnectorError
    const message = (error as Error).message
    await ledger.fail({ code: known ? error.code : 'read_failed', message, retriable: known ? error.retriable : true })
    return true
  } finally {
    views.changes.off('job', onJob)
  }
}

function isRead(job: JobSnapshot, { views }: ProcessContext): boolean {
  const entry = views.progressOf(job.job_id).get('read/-1')
  return entry !== undefined && entry.attempt === job.attempt && (entry.done || entry.error !== null)
}

/**
 * Claims the attempt: of all claims the first in the log wins, so two readers never both send its chunks. True if ours
 * is the first.
 */
async function claim(job: JobSnapshot, context: ProcessContext): Promise<boolean> {
  const { views, workerId } = context
  const first = (): ProgressEntry | undefined =>
    [...views.progressOf(job.job_id).values()].find((entry) => entry.stage === 'claim' && entry.attempt === job.attempt)
  if (first() !== undefined) return first()?.worker_id === workerId
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
  return first()?.worker_id === workerId
}
