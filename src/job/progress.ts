// What the ledger says about a job: totals, whether everything has arrived, percentage, rate and ETA. Pure.
import { isTerminal, type JobError, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import type { Totals } from './machine.ts'

/** Totals of the job's current attempt. Entries of other attempts do not count. */
export function totals(job: JobSnapshot, entries: Iterable<ProgressEntry>): Totals {
  const sum = { read_rows: 0n, processed_rows: 0n, written_rows: 0n, failed_rows: 0n }
  const written = job.outputs.map(() => 0n)
  const failedAtSinks = job.outputs.map(() => 0n)
  for (const entry of entries) {
    if (entry.attempt !== job.attempt) continue
    if (entry.stage === 'read') sum.read_rows += entry.rows
    if (entry.stage === 'score') {
      sum.processed_rows += entry.rows
      sum.failed_rows += entry.failed_rows
    }
    if (entry.stage === 'sink') {
      written[entry.output] = (written[entry.output] ?? 0n) + entry.rows
      failedAtSinks[entry.output] = (failedAtSinks[entry.output] ?? 0n) + entry.failed_rows
    }
  }
  // Scorers know failed rows first; sinks know them exactly, for a scorer that crashed may have lost count.
  for (const failed of failedAtSinks) if (failed > sum.failed_rows) sum.failed_rows = failed
  // What a sink has was scored, also when its scorer's report comes later, even after the job's end.
  for (const [output, rows] of written.entries()) {
    const scored = rows + (failedAtSinks[output] ?? 0n)
    if (scored > sum.processed_rows) sum.processed_rows = scored
  }
  sum.written_rows = written.reduce((least, rows) => (rows < least ? rows : least), written[0] ?? 0n)
  return { ...sum, output_rows: written }
}

/**
 * Whether the reader and the sinks of every lane and output are done with the current attempt; then how many rows the
 * reader read and the sinks of each output wrote or left out as failed. They must be equal.
 */
export function delivery(
  job: JobSnapshot,
  entries: Iterable<ProgressEntry>,
): { read: bigint; outputs: { written: bigint; failed: bigint }[] } | null {
  let read: bigint | null = null
  const outputs = job.outputs.map(() => ({ written: 0n, failed: 0n, lanes: new Set<number>() }))
  for (const entry of entries) {
    if (entry.attempt !== job.attempt || !entry.done) continue
    if (entry.stage === 'read') read = entry.rows
    const output = entry.stage === 'sink' ? outputs[entry.output] : undefined
    if (!output) continue
    output.lanes.add(entry.lane)
    output.written += entry.rows
    output.failed += entry.failed_rows
  }
  if (read === null || job.lanes.length === 0) return null
  if (!outputs.every(({ lanes }) => job.lanes.every((lane) => lanes.has(lane)))) return null
  return { read, outputs: outputs.map(({ written, failed }) => ({ written, failed })) }
}

/** The first failure that a stage reported for the current attempt. */
export function stageError(
  job: JobSnapshot,
  entries: Iterable<ProgressEntry>,
): (JobError & { retriable: boolean }) | null {
  for (const entry of entries) if (entry.attempt === job.attempt && entry.error) return entry.error
  return null
}

/** Whole percent of the rows that are scored; 100 only when the result is readable. */
export function percentage(job: JobSnapshot): number {
  if (job.status === 'completed') return 100
  const total = job.plan?.total_rows ?? 0n
  if (total === 0n || job.status === 'submitted') return 0
  const percent = Number((job.processed_rows * 100n) / total)
  return Math.min(99, percent)
}

/** Rows per second over the last seconds, from samples of a counter. */
export class RateWindow {
  readonly #windowMs: number
  #samples: { at: number; rows: number }[] = []

  constructor(windowMs = 3_000) {
    this.#windowMs = windowMs
  }

  /** A counter that went back belongs to a new attempt: the window starts again. */
  add(at: number, rows: number): void {
    const last = this.#samples.at(-1)
    if (last && rows < last.rows) this.#samples = []
    this.#samples.push({ at, rows })
    // One sample from before the window stays, to measure the whole window.
    while (this.#samples.length > 2 && (this.#samples[1] as { at: number }).at <= at - this.#windowMs)
      this.#samples.shift()
  }

  /** Zero until two samples are apart in time. `now` lets the rate of a job that stands still go down. */
  perSecond(now: number): number {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (!first || !last || last.rows === first.rows) return 0
    const elapsed = Math.max(last.at, now - this.#windowMs) - first.at
    return elapsed > 0 ? ((last.rows - first.rows) * 1000) / elapsed : 0
  }
}

/**
 * When a running job will be done, in ms since 1970: at this rate, or before there is one, after the time that the whole
 * job should take. Null when that cannot be said.
 */
export function estimatedCompletion(
  job: JobSnapshot,
  rowsPerSecond: number,
  expectedMs: number,
  now: number,
): number | null {
  if (isTerminal(job.status) || job.started_at === null) return null
  if (rowsPerSecond <= 0) {
    const expected = Number(job.started_at) + expectedMs
    return job.processed_rows === 0n && expected > now ? expected : null
  }
  const left = Number((job.plan?.total_rows ?? 0n) - job.processed_rows)
  return now + (Math.max(0, left) / rowsPerSecond) * 1000
}
