// A job's failed rows, out of the dead letters of its tenant's partition.
import { type DeadLetter, deadLettersTopic } from '../../../topics/dead-letters.ts'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { LogReader } from '../../kafka/log-reader.ts'
import { controlPartition } from '../../kafka/partitioner.ts'
import type { ProcessContext } from '../../process.ts'

export interface FailedRow {
  readonly id: string
  /** The row's value in the job's key column as text; null when the job names none, or it is NULL. */
  readonly key: string | null
  readonly reason: string
  /** The row's columns as text, null for NULL; long values are cut. */
  readonly input: Readonly<Record<string, string | null>>
  readonly at: string
}

/** A page of failed rows. `next` is where the next page begins, null after the last. */
export interface FailedRowsPage {
  readonly rows: FailedRow[]
  readonly next: bigint | null
}

/** Letters of one moment may carry a time from a little before: another machine's clock wrote it. */
const CLOCK_SKEW_MS = 60_000

export class FailedRows {
  readonly #log: LogReader

  constructor({ client }: ProcessContext) {
    this.#log = new LogReader(client, deadLettersTopic)
  }

  /** The failed rows of the job's current attempt from `after` on, each once within a page. */
  async page(job: JobSnapshot, after: bigint | null, limit: number): Promise<FailedRowsPage> {
    const rows = new Map<string, FailedRow>()
    let next: bigint | null = null
    if (job.started_at === null) return { rows: [], next }
    const from = after === null ? { time: Number(job.started_at) - CLOCK_SKEW_MS } : { offset: after }
    await this.#log.read(controlPartition(job.tenant_id), from, ({ offset, value }) => {
      const letter = JSON.parse(value.toString()) as DeadLetter
      if (letter.kind !== 'row' || letter.job_id !== job.job_id || letter.attempt !== job.attempt) return true
      if (rows.has(letter.id)) return true
      if (rows.size === limit) {
        next = offset
        return false
      }
      const { id, key = null, reason, at } = letter
      rows.set(id, { id, key, reason, input: letter.content as FailedRow['input'], at })
      return true
    })
    return { rows: [...rows.values()], next }
  }

  async close(): Promise<void> {
    await this.#log.close()
  }
}
