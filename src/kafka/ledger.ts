// Writes the progress ledger: what a stage has made durable of a lane. Totals are cumulative, so of several reports of one
// key only the newest matters; they gather in each process for a moment and go out together. One record each for twelve
// lanes and stages, many times a second, would cost every process that tails the topic more than scoring does.
import type { JobSnapshot } from '../../topics/jobs.ts'
import {
  type LaneTotals,
  type ProgressEntry,
  progressCodec,
  progressKey,
  progressTopic,
  type Stage,
} from '../../topics/progress.ts'
import { controlPartition } from './partitioner.ts'
import type { OutgoingRecord, RecordProducer } from './producer.ts'

export interface LedgerTotals {
  readonly offset: bigint
  readonly chunks: bigint
  readonly rows: bigint
  readonly failedRows: bigint
  readonly bytes: bigint
}

export const NO_TOTALS: LedgerTotals = { offset: -1n, chunks: 0n, rows: 0n, failedRows: 0n, bytes: 0n }

/** How long reports gather: five updates a second are smooth to look at, and feed the reader's window often enough. */
const GATHER_MS = 200
/**
 * The first reports after a pause, or of a job, gather for this long, each next one for twice as long: until the reader knows how fast
 * a job is scored it sends little, and both cores would be idle for half of a job's first half second.
 */
const FIRST_GATHER_MS = 10
const PAUSE_MS = 1_000

/** One for each process. */
export class LedgerWriter {
  readonly #producer: RecordProducer
  readonly #isOver: (jobId: string) => boolean
  readonly #onError: (error: Error) => void
  readonly #gathered = new Map<string, ProgressEntry>()
  /** Keys of what has gathered and somebody waits for. */
  readonly #awaited = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  /** The timer is for what nobody waits for. */
  #late = false
  #gatherMs = FIRST_GATHER_MS
  #flushedAt = 0
  /** Sends follow each other, so an older total never comes after a newer one. */
  #sent: Promise<void> = Promise.resolve()

  /** What is gathered of a job when it `isOver` is left out: its ledger is read no more. */
  constructor(producer: RecordProducer, isOver: (jobId: string) => boolean, onError: (error: Error) => void) {
    this.#producer = producer
    this.#isOver = isOver
    this.#onError = onError
  }

  /** Writes the entry within a moment. */
  soon(entry: ProgressEntry): void {
    const key = progressKey(entry)
    this.#gathered.set(key, entry)
    this.#awaited.add(key)
    if (this.#timer && !this.#late) return
    if (Date.now() - this.#flushedAt > PAUSE_MS) this.#gatherMs = FIRST_GATHER_MS
    this.#start()
  }

  /**
   * Writes the entry, for which nobody waits, with whatever goes out next, or alone in the end. Small jobs are over by then: three
   * processes need not take in at that very moment what tells nothing new.
   */
  later(entry: ProgressEntry): void {
    const key = progressKey(entry)
    this.#gathered.set(key, entry)
    this.#awaited.delete(key)
    if (this.#timer && (this.#late || this.#awaited.size)) return
    this.#startTimer(GATHER_MS)
    this.#late = true
  }

  /** Somebody waits for what is reported next: it gathers as after a pause. */
  hurry(): void {
    this.#gatherMs = FIRST_GATHER_MS
    if (this.#timer && !this.#late) this.#start()
  }

  /** Writes the entry, and what has gathered; resolves when it is replicated. */
  now(entry: ProgressEntry): Promise<void> {
    this.#gathered.set(progressKey(entry), entry)
    return this.#flush()
  }

  /** Writes what has gathered. */
  async close(): Promise<void> {
    await this.#flush()
  }

  #start(): void {
    this.#startTimer(this.#gatherMs)
    this.#late = false
    this.#gatherMs = Math.min(GATHER_MS, this.#gatherMs * 2)
  }

  #startTimer(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#flush().catch(this.#onError)
    }, ms)
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flushedAt = Date.now()
    const records = [...this.#gathered.values()].filter(({ job_id }) => !this.#isOver(job_id)).map(ledgerRecord)
    this.#gathered.clear()
    this.#awaited.clear()
    if (records.length) this.#sent = this.#sent.then(() => this.#producer.send(records))
    return this.#sent
  }
}

/** The entry as a record of the ledger. */
export function ledgerRecord(entry: ProgressEntry): OutgoingRecord {
  return {
    topic: progressTopic,
    partition: controlPartition(entry.tenant_id),
    key: progressKey(entry),
    value: progressCodec.encode(entry),
  }
}

/** One stage's account of one lane of a job's attempt (lane -1: of the attempt as a whole). */
export class Ledger {
  readonly #writer: LedgerWriter
  readonly #base: Pick<ProgressEntry, 'job_id' | 'tenant_id' | 'stage' | 'output' | 'lane' | 'attempt' | 'worker_id'>
  #last: LedgerTotals = NO_TOTALS

  /** `output` is which of the job's outputs a sink serves. */
  constructor(
    context: { ledger: LedgerWriter; workerId: string },
    job: JobSnapshot,
    stage: Stage,
    lane: number,
    output = 0,
  ) {
    this.#writer = context.ledger
    this.#base = {
      job_id: job.job_id,
      tenant_id: job.tenant_id,
      stage,
      output,
      lane,
      attempt: job.attempt,
      worker_id: context.workerId,
    }
  }

  /** Reports totals within a moment; `sent`: of a read, those of each lane. */
  report(totals: LedgerTotals, sent: LaneTotals[] = []): void {
    // The job's reader is behind its first window of chunks until it hears of them.
    if (this.#base.stage === 'score' && this.#last === NO_TOTALS) this.#writer.hurry()
    this.#last = totals
    this.#writer.soon({ ...this.#entry(totals, false, null), sent })
  }

  /** The lane is complete, which nobody waits for. */
  doneLater(totals: LedgerTotals): void {
    this.#writer.later(this.#entry(totals, true, null))
  }

  /** The lane (or the query) is complete. */
  done(totals: LedgerTotals, sent: LaneTotals[] = []): Promise<void> {
    return this.#writer.now({ ...this.#entry(totals, true, null), sent })
  }

  /** The stage cannot go on with this attempt. */
  fail(error: NonNullable<ProgressEntry['error']>): Promise<void> {
    return this.#writer.now(this.#entry(this.#last, false, error))
  }

  /** Says that this worker is about to do the stage. */
  claim(): Promise<void> {
    return this.#writer.now(this.#entry(NO_TOTALS, false, null))
  }

  #entry(
    { offset, chunks, rows, failedRows, bytes }: LedgerTotals,
    done: boolean,
    error: ProgressEntry['error'],
  ): ProgressEntry {
    return {
      ...this.#base,
      offset,
      chunks,
      rows,
      failed_rows: failedRows,
      bytes,
      done,
      error,
      position: null,
      sent: [],
      at: BigInt(Date.now()),
    }
  }
}
