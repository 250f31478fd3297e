// How fast each stage of a job is, from what its ledger said at different times. Pure.
import type { FlowAnswer } from '../client/types.ts'

/** Of the last answers: long enough to be steady, short enough to be of now. */
const WINDOW_MS = 3_000

export interface FlowSample {
  readonly at: number
  readonly attempt: number
  /** Rows of each node, in the order of the answer. */
  readonly rows: readonly number[]
}

export function withSample(samples: readonly FlowSample[], { at, attempt, nodes }: FlowAnswer): FlowSample[] {
  const sample = { at: Date.parse(at), attempt, rows: nodes.map(({ rows }) => rows) }
  // Another attempt counts from the beginning.
  const before = samples.filter((each) => each.attempt === attempt && each.at < sample.at)
  const old = before.filter((each) => each.at <= sample.at - WINDOW_MS)
  // One from before the window stays, to measure the whole window.
  return [...before.slice(Math.max(0, old.length - 1)), sample]
}

/** Rows per second of each node; none until two samples are apart. */
export function ratesOf(samples: readonly FlowSample[]): number[] {
  const first = samples[0]
  const last = samples.at(-1)
  if (!first || !last) return []
  const elapsed = last.at - first.at
  if (elapsed <= 0) return []
  return last.rows.map((rows, i) => (Math.max(0, rows - (first.rows[i] ?? 0)) * 1_000) / elapsed)
}
