// How long a job should take, from what like ones took: a fixed part (planning, staging, making visible) and a part for each
// row. Both are fitted at once, so that a thousand rows, which are nearly all fixed part, say little of a million. Pure.

/** A finished job: rows scored, and milliseconds from its start to its end. */
export interface PastRun {
  readonly rows: number
  readonly ms: number
}

/** What is thought before anything was seen: a small machine and 100 trees. */
const FIXED_MS = 500
const ROW_MS = 1 / 200
/** How far from that it may well be: a slow store; a model ten times as slow. */
const FIXED_SPREAD_MS = 1_500
const ROW_SPREAD_MS = 10 * ROW_MS
/** What takes longer than this is not fixed part any more, so its rows are that slow. */
const LONGEST_FIXED_MS = 2_000
/** Two runs of the same job differ by about this share. */
const NOISE = 0.25

/**
 * Milliseconds that a job of so many rows should take. A linear regression with the thoughts above as its prior
 * (https://en.wikipedia.org/wiki/Bayesian_linear_regression): what the past runs do not tell stays as thought.
 */
export function estimateMs(rows: number, past: readonly PastRun[]): number {
  const slowest = Math.max(0, ...past.map((run) => (run.ms - LONGEST_FIXED_MS) / Math.max(1, run.rows)))
  const rowSpread = Math.max(ROW_SPREAD_MS, slowest)
  // Normal equations of `fixed + row * rows = ms`, each run weighted by its noise, and the two priors.
  let aa = 1 / FIXED_SPREAD_MS ** 2
  let ab = 0
  let bb = 1 / rowSpread ** 2
  let a = aa * FIXED_MS
  let b = bb * ROW_MS
  for (const run of past) {
    const weight = 1 / (NOISE * Math.max(1, run.ms)) ** 2
    aa += weight
    ab += weight * run.rows
    bb += weight * run.rows ** 2
    a += weight * run.ms
    b += weight * run.ms * run.rows
  }
  const determinant = aa * bb - ab * ab
  let fixed = (a * bb - b * ab) / determinant
  let row = (b * aa - a * ab) / determinant
  // Neither can be less than nothing; then the other explains everything.
  if (fixed < 0) [fixed, row] = [0, b / bb]
  if (row < 0) [fixed, row] = [a / aa, 0]
  return fixed + row * rows
}
