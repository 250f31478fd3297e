// One attempt at a job's query: rows out of the database, as columnar chunks into the job's lanes, at most a window
// ahead of scoring. What is in Kafka is told in the ledger.
import { ConnectorError } from '../../connectors/connector.ts'
import { chunksTopics } from '../../topics/chunks.ts'
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { encodeColumns } from '../../topics/payload.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { Ledger } from '../kafka/ledger.ts'
import type { ProcessContext } from '../process.ts'
import { Wakeup } from '../wakeup.ts'
import { LaneSender } from './lane-sender.ts'
import { splitRows } from './split.ts'
import { LaneWindow } from './window.ts'

/** A record must fit the broker's limit (16 MiB) with room for headers; a larger chunk is split. */
const MAX_CHUNK_BYTES = 8 * 1024 * 1024
/** Chunks that follow each other go to one lane up to this many bytes: they then share a send, a fetch and a commit. */
const BURST_BYTES = 128 * 1024

/** Runs the attempt to its end. Throws what stopped it; aborting `signal` stops it quietly. */
export async function readAll(job: JobSnapshot, context: ProcessContext, signal: AbortSignal): Promise<void> {
  const { producer, views, connectors, config } = context
  if (!job.plan) throw new Error(`job ${job.job_id} has no plan`)
  const ledger = new Ledger(context, job, 'read', -1)
  const window = new LaneWindow(job.lanes, job.config.batch_size)
  const id = { jobId: job.job_id, attempt: job.attempt }
  const moved = new Wakeup()
  let failure: Error | null = null
  const onError = (error: Error): void => {
    failure ??= error
    moved.signal()
  }
  const senders = new Map(
    job.lanes.map((lane) => [lane, new LaneSender(producer, chunksTopics[job.pool], lane, id, onError)]),
  )
  const onProgress = (entry: ProgressEntry): void => {
    if (entry.job_id !== job.job_id || entry.attempt !== job.attempt || entry.stage !== 'score') return
    window.scored(entry.lane, Number(entry.chunks), Date.now())
    moved.signal()
  }
  views.changes.on('progress', onProgress)
  const stop = () => moved.signal()
  signal.addEventListener('abort', stop)
  let read = 0n
  let current: number | null = null
  let burstBytes = 0

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
    while (current === null && !signal.aborted && !failure) {
      ledger.report(sum(senders.values()))
      await moved.wait()
      current = window.freeLane()
    }
    if (failure) throw failure
    if (current === null) return
    burstBytes += payload.byteLength
    window.sent(current, payload.byteLength)
    senders.get(current)?.push(payload, batch.rows)
  }

  try {
    const options = { columns: job.plan.query_columns, chunkRows: job.config.batch_size, signal }
    for await (const batch of connectors.source.read(job.input, options)) {
      if (signal.aborted) return
      read += BigInt(batch.rows)
      if (read > BigInt(config.maxInputRows)) throw tooManyRows(config.maxInputRows)
      await place(batch)
      ledger.report(sum(senders.values()))
    }
    if (signal.aborted) return
    for (const sender of senders.values()) sender.end()
    await Promise.all([...senders.values()].map((sender) => sender.flush()))
    if (failure) throw failure
    await ledger.done(sum(senders.values()))
  } finally {
    views.changes.off('progress', onProgress)
    signal.removeEventListener('abort', stop)
  }
}

function sum(senders: Iterable<LaneSender>): {
  offset: bigint
  chunks: bigint
  rows: bigint
  failedRows: bigint
  bytes: bigint
} {
  const total = { offset: -1n, chunks: 0n, rows: 0n, failedRows: 0n, bytes: 0n }
  for (const { sent } of senders) {
    total.chunks += BigInt(sent.chunks)
    total.rows += BigInt(sent.rows)
    total.bytes += BigInt(sent.bytes)
  }
  return total
}

function tooManyRows(limit: number): ConnectorError {
  return new ConnectorError(
    'too_many_rows',
    `the query gave more than BATCH_MAX_INPUT_ROWS = ${limit} rows; split it into several jobs`,
    { retriable: false },
  )
}
