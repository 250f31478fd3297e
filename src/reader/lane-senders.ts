// The outlet of a read that begins anew when its reader is lost: every lane is sent by itself.
import { chunksTopics } from '../../topics/chunks.ts'
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { LaneTotals } from '../../topics/progress.ts'
import { Ledger, type LedgerTotals } from '../kafka/ledger.ts'
import type { ProcessContext } from '../process.ts'
import { LaneSender } from './lane-sender.ts'
import type { Outlet, SentTotals } from './outlet.ts'

export class LaneSenders implements Outlet {
  readonly before: ReadonlyMap<number, SentTotals> = new Map()
  readonly #senders: ReadonlyMap<number, LaneSender>
  readonly #ledger: Ledger
  readonly #failure = new AbortController()
  #begun = false

  /** Nothing is sent, or told to the ledger, before `begin` has resolved. When it rejects, that is the failure. */
  constructor(job: JobSnapshot, context: ProcessContext, begin: Promise<void> = Promise.resolve()) {
    begin.then(
      () => {
        this.#begun = true
      },
      (error: Error) => this.#failure.abort(error),
    )
    const id = { jobId: job.job_id, attempt: job.attempt }
    const onError = (error: Error): void => this.#failure.abort(error)
    this.#ledger = new Ledger(context, job, 'read', -1)
    this.#senders = new Map(
      job.lanes.map((lane) => [
        lane,
        new LaneSender(context.producer, chunksTopics[job.pool], lane, id, onError, begin),
      ]),
    )
  }

  get failed(): AbortSignal {
    return this.#failure.signal
  }

  push(lane: number, payload: Uint8Array, batch: ColumnBatch): void {
    this.#senders.get(lane)?.push(payload, batch.rows)
  }

  report(): void {
    if (this.#begun) this.#ledger.report(this.#totals(), this.#sent())
  }

  async end(): Promise<void> {
    for (const sender of this.#senders.values()) sender.end()
    await Promise.all([...this.#senders.values()].map((sender) => sender.flush()))
    this.failed.throwIfAborted()
    await this.#ledger.done(this.#totals(), this.#sent())
  }

  #sent(): LaneTotals[] {
    return [...this.#senders].map(
      ([
        lane,
        {
          sent: { chunks, rows, bytes },
        },
      ]) => ({
        lane,
        chunks: BigInt(chunks),
        rows: BigInt(rows),
        bytes: BigInt(bytes),
      }),
    )
  }

  #totals(): LedgerTotals {
    const total = { offset: -1n, chunks: 0n, rows: 0n, failedRows: 0n, bytes: 0n }
    for (const { sent } of this.#senders.values()) {
      total.chunks += BigInt(sent.chunks)
      total.rows += BigInt(sent.rows)
      total.bytes += BigInt(sent.bytes)
    }
    return total
  }
}
