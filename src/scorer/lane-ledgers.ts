// What a scorer has done in one lane, job by job, for the progress ledger.
import type { ChunkHeader } from '../../topics/chunks.ts'
import { isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import { Ledger, type LedgerTotals, NO_TOTALS } from '../kafka/ledger.ts'
import type { ProcessContext } from '../process.ts'

interface Account {
  readonly job: JobSnapshot
  readonly ledger: Ledger
  totals: LedgerTotals
  changed: boolean
  ended: boolean
  failed: boolean
}

export class LaneLedgers {
  readonly #lane: number
  readonly #context: ProcessContext
  readonly #accounts = new Map<string, Account>()

  constructor(lane: number, context: ProcessContext) {
    this.#lane = lane
    this.#context = context
  }

  /**
   * A chunk was scored, so many of its rows failing. Chunk and row totals come from the header, whoever scored before; the
   * failed rows are those of this owner, and the sink counts them exactly.
   */
  scored(job: JobSnapshot, header: ChunkHeader & { type: 'chunk' }, failedRows: number, bytes: number): void {
    const account = this.#account(job)
    // A chunk that comes again was counted already.
    if (BigInt(header.seq) < account.totals.chunks) return
    account.totals = {
      offset: account.totals.offset,
      chunks: BigInt(header.seq + 1),
      rows: BigInt(header.firstRow + header.rows),
      failedRows: account.totals.failedRows + BigInt(failedRows),
      bytes: account.totals.bytes + BigInt(bytes),
    }
    account.changed = true
  }

  /** The job's last record in this lane has passed. */
  ended(job: JobSnapshot, header: ChunkHeader & { type: 'end' }): void {
    const account = this.#account(job)
    account.totals = { ...account.totals, chunks: BigInt(header.chunks), rows: BigInt(header.rows) }
    account.ended = true
  }

  hasFailed(job: JobSnapshot): boolean {
    return this.#accounts.get(keyOf(job))?.failed ?? false
  }

  /** Tells the controller that the job cannot go on; its further chunks are then skipped. */
  async fail(job: JobSnapshot, error: NonNullable<ProgressEntry['error']>): Promise<void> {
    const account = this.#account(job)
    account.failed = true
    await account.ledger.fail(error)
  }

  /** Reports what is committed up to `offset`. */
  report(offset: bigint): void {
    for (const [key, account] of this.#accounts) {
      const job = this.#context.views.jobs.get(account.job.job_id)
      if (!job || isTerminal(job.status) || job.attempt !== account.job.attempt) {
        this.#accounts.delete(key)
        continue
      }
      account.totals = { ...account.totals, offset }
      if (account.failed) continue
      if (account.ended) {
        account.ledger.doneLater(account.totals)
        this.#accounts.delete(key)
      } else if (account.changed) {
        account.ledger.report(account.totals)
        account.changed = false
      }
    }
  }

  #account(job: JobSnapshot): Account {
    const key = keyOf(job)
    let account = this.#accounts.get(key)
    if (!account) {
      account = {
        job,
        ledger: new Ledger(this.#context, job, 'score', this.#lane),
        totals: NO_TOTALS,
        changed: false,
        ended: false,
        failed: false,
      }
      this.#accounts.set(key, account)
      this.#context.log.info({ jobId: job.job_id, attempt: job.attempt, lane: this.#lane }, 'scoring a lane')
    }
    return account
  }
}

function keyOf(job: JobSnapshot): string {
  return `${job.job_id}/${job.attempt}`
}
