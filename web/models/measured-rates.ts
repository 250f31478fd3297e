// How fast each version of a model was: rows per second over the whole of its last jobs. Pure.
import type { Job } from '../client/types.ts'

/** Jobs of one version that count: of now, and yet several. */
const LAST = 5
/** A smaller job is mostly its beginning and its end, and says little of the model. */
const LEAST_ROWS = 10_000

/** `jobs`: completed ones of one model, newest first. */
export function measuredRates(jobs: readonly Job[]): Map<number, number> {
  const sums = new Map<number, { rows: number; ms: number; jobs: number }>()
  for (const { model_version, progress, started_at, finished_at } of jobs) {
    if (model_version === null || started_at === null || finished_at === null) continue
    if (progress.processed_rows < LEAST_ROWS) continue
    const sum = sums.get(model_version) ?? { rows: 0, ms: 0, jobs: 0 }
    if (sum.jobs === LAST) continue
    const ms = Date.parse(finished_at) - Date.parse(started_at)
    sums.set(model_version, { rows: sum.rows + progress.processed_rows, ms: sum.ms + ms, jobs: sum.jobs + 1 })
  }
  return new Map(
    [...sums].filter(([, { ms }]) => ms > 0).map(([version, { rows, ms }]) => [version, (rows * 1_000) / ms]),
  )
}
