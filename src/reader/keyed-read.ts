// A read of a job with `input.key_column`: takes it over from whoever was at it, goes on from where it stands, and lets go
// of it orderly. All in the same attempt; `retry_count` bounds how often a reader may be lost, like it bounds attempts.
import { ConnectorError } from '../../connectors/connector.ts'
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import { READ_SLOT, type ReadPosition } from '../../topics/progress.ts'
import { openTransactionalWriter, type TransactionalWriter } from '../kafka/transactions.ts'
import type { ProcessContext } from '../process.ts'
import { KeyedLanes } from './keyed-lanes.ts'
import { readAll } from './read-task.ts'

/** `over`: for good or bad; `stopped`: this process is stopping; `interrupted`: whoever owns the task goes on with it. */
export type Ending = 'over' | 'stopped' | 'interrupted'

export interface ReadSignals {
  /** The process is stopping. */
  readonly stop: AbortSignal
  /** The job is over, or has another attempt. */
  readonly cancelled: AbortSignal
}

export async function runKeyedRead(job: JobSnapshot, context: ProcessContext, signals: ReadSignals): Promise<Ending> {
  // Of the job and not of the attempt: the ledger's entry is one for all attempts, and so is the right to write it.
  const writer = await openTransactionalWriter(context.client, `reader.${job.job_id}`)
  try {
    return await hold(job, writer, context, signals)
  } finally {
    await writer.close()
  }
}

async function hold(
  job: JobSnapshot,
  writer: TransactionalWriter,
  context: ProcessContext,
  { stop, cancelled }: ReadSignals,
): Promise<Ending> {
  const { views, log, workerId } = context
  // From here on only this writer can move the position; what the last one committed is in the log.
  await views.caughtUp()
  const entry = views.progressOf(job.job_id).get(READ_SLOT)
  const now = views.jobs.get(job.job_id)
  if (!now || isTerminal(now.status) || now.attempt !== job.attempt) return 'over'
  const known = entry?.attempt === job.attempt ? entry : null
  if (known?.done || known?.error) return 'over'

  const position = takenOver(known?.position ?? null)
  const lanes = new KeyedLanes(job, position, writer, workerId)
  const about = { jobId: job.job_id, attempt: job.attempt, key: position.key, interruptions: position.interruptions }
  try {
    if (position.interruptions > allowedInterruptions(job)) {
      const message = `the reader was lost ${position.interruptions} times before the query was read, and retry_count is ${job.config.retry_count}`
      await lanes.fail({ code: 'reader_lost', message, retriable: false })
      return 'over'
    }
    await lanes.begin()
    if (known) log.info(about, 'going on with a read')
    const complete = await readAll(job, lanes, context, AbortSignal.any([stop, cancelled]))
    if (complete || cancelled.aborted) return 'over'
    // A stop costs nothing: whoever gets the task next goes on.
    await lanes.release()
    return 'stopped'
  } catch (error) {
    log.warn({ ...about, err: error }, 'read cut off')
    // Another reader has taken the read over, or Kafka was away for too long: the log knows how far this one came.
    if (lanes.failed.aborted) return 'interrupted'
    const known = error instanceof ConnectorError
    const left = allowedInterruptions(job) - position.interruptions
    if (left > 0 && !(known && !error.retriable)) return 'interrupted'
    const { message } = error as Error
    const failure = { code: known ? error.code : 'read_failed', message, retriable: false }
    return lanes.fail(failure).then(
      () => 'over',
      () => 'interrupted',
    )
  }
}

/** The position of a reader that begins where the last one, if any, stood. */
export function takenOver(last: ReadPosition | null): ReadPosition {
  if (!last) return { key: null, lanes: [], held: true, interruptions: 0 }
  return { ...last, held: true, interruptions: last.interruptions + (last.held ? 1 : 0) }
}

/** Attempts and interruptions together stay within `retry_count` further tries. */
export function allowedInterruptions(job: JobSnapshot): number {
  return Math.max(0, job.config.retry_count - (job.attempt - 1))
}
