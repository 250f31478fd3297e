// Scores one chunk: columns in, columns out, and the rows that cannot be scored set aside one by one with the reason.
// Between the scorer's Kafka loop and the model.
import type { ColumnBatch } from '../../topics/columns.ts'
import type { FailedRow } from '../../topics/scored.ts'
import { rowsWithout } from '../../topics/take-rows.ts'
import { ModelError, type ModelSession, type Tensors } from '../model/model.ts'
import type { ScoringPlan } from '../model/scoring-plan.ts'
import { cellText } from './cell-text.ts'
import { checkOutputs, fetchesOf, joinOutputs, noOutputs, scoredBatch } from './predictions.ts'
import { buildFeeds, type UnfitRow, unfitRows } from './tensors.ts'

/** A chunk's rows, each in exactly one of the two: scored in `batch`, or in `failed`; both in the chunk's order. */
export interface ScoredRows {
  readonly batch: ColumnBatch
  readonly failed: FailedRow[]
}

/**
 * Scores a chunk. The result may share vectors with `batch`. A row fails when a feature is NULL or out of range where the
 * model cannot hold that, or when the model refuses it even alone. What is no row's fault throws `ModelError`:
 * `output_shape`, `out_of_memory`, `session_released`.
 */
export async function scoreChunk(session: ModelSession, plan: ScoringPlan, batch: ColumnBatch): Promise<ScoredRows> {
  const unfit = unfitRows(plan, batch)
  const fit =
    unfit.length > 0
      ? rowsWithout(
          batch.rows,
          unfit.map(({ row }) => row),
        )
      : null
  const scored = await scoreRows(session, plan, batch, fit)

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

/**
 * Runs the model over rows `rows`. If it throws, each half goes alone, down to the single row that is at fault: a bad row
 * among n costs about 2 log2 n runs more, each over half of the last one's rows. Which halves are tried depends only on the
 * rows, so a replay gives the same bytes.
 */
async function scoreRows(
  session: ModelSession,
  plan: ScoringPlan,
  batch: ColumnBatch,
  rows: Int32Array | null,
): Promise<Scored> {
  const count = rows?.length ?? batch.rows
  if (count === 0) return { outputs: noOutputs(plan), refused: [] }
  let outputs: Tensors
  try {
    outputs = await session.run(buildFeeds(plan, batch, rows), fetchesOf(plan))
  } catch (error) {
    if (!mayBeARowsFault(error, count)) throw error
    const all = rows ?? rowsWithout(batch.rows, [])
    if (count === 1) {
      return { outputs: noOutputs(plan), refused: [{ row: all[0] as number, reason: (error as ModelError).message }] }
    }
    const middle = count >> 1
    const first = await scoreRows(session, plan, batch, all.subarray(0, middle))
    const second = await scoreRows(session, plan, batch, all.subarray(middle))
    return {
      outputs: joinOutputs(first.outputs, second.outputs),
      refused: [...first.refused, ...second.refused],
    }
  }
  checkOutputs(plan, outputs, count)
  return { outputs, refused: [] }
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
