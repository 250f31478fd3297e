// Scores one chunk: columns in, columns out, and the rows that cannot be scored set aside one by one with the reason.
// Between the scorer's Kafka loop and the model.
import type { ColumnBatch } from '../../topics/columns.ts'
import type { FailedRow } from '../../topics/scored.ts'
import { rowsWithout } from '../../topics/take-rows.ts'
import { ModelError, type ModelSession, type Tensors } from '../model/model.ts'
import type { ScoringPlan } from '../model/scoring-plan.ts'
import { cellText } from './cell-text.ts'
import { nanRows } from './nan-rows.ts'
import { checkOutputs, fetchesOf, joinOutputs, noOutputs, scoredBatch, takeOutputs } from './predictions.ts'
import { buildFeeds, type UnfitRow, unfitRows } from './tensors.ts'

/** A chunk's rows, each in exactly one of the two: scored in `batch`, or in `failed`; both in the chunk's order. */
export interface ScoredRows {
  readonly batch: ColumnBatch
  readonly failed: FailedRow[]
}

/** How many rows go into a run of the model: `RunBound` with a job's limit, or no bound at all. */
export interface RowBound {
  /** How many of `left` rows the next run may have, at least one. */
  rows(left: number): number
  /** Carries out a run of so many rows. */
  run<T>(rows: number, run: () => Promise<T>): Promise<T>
}

const UNBOUNDED: RowBound = { rows: (left) => left, run: (_rows, run) => run() }

/**
 * Scores a chunk. The result may share vectors with `batch`. A row fails when a feature is NULL or out of range where the
 * model cannot hold that, when the model refuses it even alone, or when a prediction is NaN. What is no row's fault throws
 * `ModelError`: `output_shape`, `out_of_memory`, `memory_exceeded`, `session_released`, `device_failed`.
 */
export async function scoreChunk(
  session: ModelSession,
  plan: ScoringPlan,
  batch: ColumnBatch,
  bound: RowBound = UNBOUNDED,
): Promise<ScoredRows> {
  const unfit = unfitRows(plan, batch)
  const fit =
    unfit.length > 0
      ? rowsWithout(
          batch.rows,
          unfit.map(({ row }) => row),
        )
      : null
  const scored = await scoreRows({ session, plan, batch, bound }, fit)

  const left = [...unfit, ...scored.refused].sort((a, b) => a.row - b.row)
  const rows =
    left.length > 0
      ? rowsWithout(
          batch.rows,
          left.map(({ row }) => row),
        )
      : null
  return {
    batch: scoredBatch(plan, batch, scored.outputs, rows),
    failed: left.map(({ row, reason }) => ({ row, reason, input: rowAsText(batch, row) })),
  }
}

interface Scored {
  /** Of the rows that were not refused, in order. */
  readonly outputs: Tensors
  readonly refused: UnfitRow[]
}

interface Run {
  readonly session: ModelSession
  readonly plan: ScoringPlan
  readonly batch: ColumnBatch
  readonly bound: RowBound
}

/**
 * Scores rows `rows` in as many runs as the bound asks for: one, nearly always. A model may round its last digit otherwise
 * in a run of another size; of two copies of a scored chunk all sinks take the first.
 */
async function scoreRows(run: Run, rows: Int32Array | null): Promise<Scored> {
  const count = rows?.length ?? run.batch.rows
  if (count === 0) return { outputs: noOutputs(run.plan), refused: [] }
  if (run.bound.rows(count) >= count) return runRows(run, rows)
  const all = rows ?? rowsWithout(run.batch.rows, [])
  const parts: Scored[] = []
  for (let at = 0; at < count; ) {
    const end = at + run.bound.rows(count - at)
    parts.push(await runRows(run, all.subarray(at, end)))
    at = end
  }
  return joined(parts)
}

/**
 * Runs the model over rows `rows`. If it throws, each half goes alone, down to the single row that is at fault: a bad row
 * among n costs about 2 log2 n runs more, each over half of the last one's rows.
 */
async function runRows(run: Run, rows: Int32Array | null): Promise<Scored> {
  const { session, plan, batch, bound } = run
  const count = rows?.length ?? batch.rows
  let outputs: Tensors
  try {
    outputs = await bound.run(count, () => session.run(buildFeeds(plan, batch, rows), fetchesOf(plan)))
  } catch (error) {
    if (!mayBeARowsFault(error, count)) throw error
    const all = rows ?? rowsWithout(batch.rows, [])
    if (count === 1) {
      return { outputs: noOutputs(plan), refused: [{ row: all[0] as number, reason: (error as ModelError).message }] }
    }
    const middle = count >> 1
    return joined([await runRows(run, all.subarray(0, middle)), await runRows(run, all.subarray(middle))])
  }
  checkOutputs(plan, outputs, count)
  return withoutNan(plan, outputs, rows, count)
}

function withoutNan(plan: ScoringPlan, outputs: Tensors, rows: Int32Array | null, count: number): Scored {
  const nan = nanRows(plan, outputs, count)
  if (nan.length === 0) return { outputs, refused: [] }
  return {
    outputs: takeOutputs(
      outputs,
      rowsWithout(
        count,
        nan.map(({ row }) => row),
      ),
    ),
    refused: nan.map(({ row, column }) => ({
      row: rows ? (rows[row] as number) : row,
      reason: `output_nan: the model's prediction ${column} is NaN`,
    })),
  }
}

function joined(parts: readonly Scored[]): Scored {
  return {
    outputs: joinOutputs(parts.map(({ outputs }) => outputs)),
    refused: parts.flatMap(({ refused }) => refused),
  }
}

/** Memory that does not suffice for many rows may do for half of them; if one row is too much, the machine is too small. */
function mayBeARowsFault(error: unknown, count: number): boolean {
  if (!(error instanceof ModelError)) return false
  return error.code === 'run_failed' || (error.code === 'out_of_memory' && count > 1)
}

function rowAsText(batch: ColumnBatch, row: number): Record<string, string | null> {
  return Object.fromEntries(
    batch.columns.map((column, i) => {
      const vector = batch.vectors[i]
      return [column.name, vector ? cellText(column, vector, row) : null]
    }),
  )
}
