// One read of a job's query: rows out of the database, as columnar chunks into the job's lanes, at most a window ahead of
// scoring. The outlet tells the ledger what is in Kafka.
import { ConnectorError, type ReadOptions } from '../../connectors/connector.ts'
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { encodeColumns } from '../../topics/payload.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { Backoff, OWN_PATIENCE_MS } from '../backoff.ts'
import { drainedLanes } from '../kafka/drained-lanes.ts'
import type { ProcessContext } from '../process.ts'
import { Wakeup } from '../wakeup.ts'
import type { Outlet } from './outlet.ts'
import { splitRows } from './split.ts'
import { LaneWindow } from './window.ts'

/** A record must fit the broker's limit (16 MiB) with room for headers; a larger chunk is split. */
const MAX_CHUNK_BYTES = 8 * 1024 * 1024
/** Chunks that follow each other go to one lane up to this many bytes: they then share a send, a fetch and a commit. */
const BURST_BYTES = 128 * 1024

/** Without a word from any scorer for so long, the reader looks itself at what is scored. */
const QUIET_MS = 5_000

/** Reads to the end of the query, which `outlet` then knows: true; false when `signal` stopped it. Throws what went wrong. */
export async function readAll(
  job: JobSnapshot,
  outlet: Outlet,
  context: ProcessContext,
  signal: AbortSignal,
): Promise<boolean> {
  const { views, config, activity } = context
  if (!job.plan) throw new Error(`job ${job.job_id} has no plan`)
  const { failed } = outlet
  const window = new LaneWindow(job.lanes, job.config.batch_size)
  const moved = new Wakeup()
  const onProgress = (entry: ProgressEntry): void => {
    if (entry.job_id !== job.job_id || entry.attempt !== job.attempt || entry.stage !== 'score') return
    window.scored(entry.lane, Number(entry.chunks), Date.now())
    moved.signal()
  }
  const stop = () => moved.signal()
  views.changes.on('progress', onProgress)
  signal.addEventListener('abort', stop)
  failed.addEventListener('abort', stop)
  let read = 0n
  for (const [lane, { chunks, rows, bytes }] of outlet.before) {
    window.holds(lane, chunks, bytes)
    read += BigInt(rows)
  }
  // What was scored of that before this process listened.
  for (const entry of views.progressOf(job.job_id).values()) onProgress(entry)
  let current: number | null = null
  let burstBytes = 0
  let atWork = activity.begin()

  async function place(batch: ColumnBatch): Promise<void> {
    const payload = encodeColumns(batch)
    if (payload.byteLength > MAX_CHUNK_BYTES && batch.rows > 1) {
      for (const half of splitRows(batch)) await place(half)
      return
    }
    if (burstBytes >= BURST_BYTES || current === null || !window.hasRoom(current)) {
      current = window.freeLane()
      burstBytes = 0
    }
    if (current === null) await freed()
    failed.throwIfAborted()
    if (current === null) return
    burstBytes += payload.byteLength
    window.sent(current, payload.byteLength)
    outlet.push(current, payload, batch)
  }

  /** Waits until a lane has room. */
  async function freed(): Promise<void> {
    atWork()
    const heldBack = activity.hold()
    while (current === null && !signal.aborted && !failed.aborted) {
      outlet.report()
      // A scorer that died between its commit and its report left nothing to score that would be reported.
      if (!(await moved.waitAtMost(QUIET_MS)))
        for (const lane of await lookForDrained(job, context)) window.drained(lane)
      current = window.freeLane()
    }
    heldBack()
    atWork = activity.begin()
  }

  try {
    const options = {
      columns: job.plan.query_columns,
      chunkRows: job.config.batch_size,
      // A query whose rows cannot go anywhere is not waited for.
      signal: AbortSignal.any([signal, failed]),
      ...(outlet.keyset ? { keyset: outlet.keyset } : {}),
    }
    let begun = performance.now()
    for await (const batch of patientRead(job, options, context)) {
      activity.chunk(job.job_id, batch.rows, performance.now() - begun)
      if (signal.aborted) return false
      read += BigInt(batch.rows)
      if (read > BigInt(config.maxInputRows)) throw tooManyRows(config.maxInputRows)
      await place(batch)
      outlet.report()
      begun = performance.now()
    }
    if (signal.aborted) return false
    await outlet.end()
    return true
  } catch (error) {
    // The source ends with the abort's reason; a chunk that could not be sent is more than that.
    failed.throwIfAborted()
    if (signal.aborted) return false
    throw error
  } finally {
    atWork()
    views.changes.off('progress', onProgress)
    signal.removeEventListener('abort', stop)
    failed.removeEventListener('abort', stop)
  }
}

/** The look is for flow control only: a broker that is away must not cost the read, which waits for it anyway. */
async function lookForDrained(job: JobSnapshot, { client, log }: ProcessContext): Promise<number[]> {
  return drainedLanes(client, job).catch((error: Error) => {
    log.warn({ jobId: job.job_id, err: error }, 'cannot see what is scored; looking again')
    return []
  })
}

/**
 * The query's rows. As long as it has given none it can be asked again without anybody noticing: a database that restarts,
 * or has no connection free, is waited for.
 */
async function* patientRead(
  job: JobSnapshot,
  options: ReadOptions,
  { connectors, log }: ProcessContext,
): AsyncGenerator<ColumnBatch> {
  const backoff = new Backoff(OWN_PATIENCE_MS)
  for (let begun = false; ; ) {
    try {
      for await (const batch of connectors.source.read(job.input, options)) {
        begun = true
        yield batch
      }
      return
    } catch (error) {
      const passing = error instanceof ConnectorError && error.retriable
      if (begun || !passing) throw error
      log.warn({ jobId: job.job_id, attempt: job.attempt, err: error }, 'the query could not begin; trying again')
      if (!(await backoff.wait(options.signal))) throw error
    }
  }
}

function tooManyRows(limit: number): ConnectorError {
  return new ConnectorError(
    'too_many_rows',
    `the query gave more than BATCH_MAX_INPUT_ROWS = ${limit} rows; split it into several jobs`,
    { retriable: false },
  )
}
