// One chunk's bytes in, its predictions' bytes out: in this process, or in one of its own (isolated-scorer.ts).
import type { ColumnBatch } from '../../topics/columns.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { ModelRecord } from '../../topics/models.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import type { FailedRow } from '../../topics/scored.ts'
import { fittingRows } from './fit-failed.ts'
import type { LoadedModels } from './loaded-models.ts'
import { scoreChunk } from './score-chunk.ts'

/** A chunk and what is needed to score it; plain data, which goes to another process as it is. */
export interface ChunkWork {
  readonly job: JobSnapshot
  readonly model: ModelRecord
  /** Where it lies, for messages. */
  readonly at: string
  readonly rows: number
  readonly value: Uint8Array
}

export interface ScoredChunk {
  /** Columns, as `encodeColumns` writes them. */
  readonly payload: Uint8Array
  readonly failed: readonly FailedRow[]
}

export interface ChunkScorer {
  /** Null only when `over` has aborted. Throws `ModelError` or `ChunkError` for what ends the job. */
  score(work: ChunkWork, over: AbortSignal): Promise<ScoredChunk | null>
}

/** A chunk's payload is not what its header says. */
export class ChunkError extends Error {
  readonly code = 'chunk_damaged'
}

/** Scores in this process, to the end: a run holds the event loop. */
export function localScorer(models: LoadedModels): { score(work: ChunkWork): Promise<ScoredChunk> } {
  return {
    score: async (work) => {
      const { job, model } = work
      const columns = readChunk(work)
      const { batch, failed } = await models.use(job, model, ({ session, plan, bound }) =>
        scoreChunk(session, plan, columns, bound),
      )
      return { payload: encodeColumns(batch), failed: fittingRows(failed, job.input.key_column) }
    },
  }
}

function readChunk({ at, rows, value }: ChunkWork): ColumnBatch {
  let batch: ColumnBatch
  try {
    batch = decodeColumns(value)
  } catch (error) {
    throw new ChunkError(`${at}: ${(error as Error).message}`, { cause: error })
  }
  if (batch.rows !== rows) throw new ChunkError(`${at}: expected ${rows} rows, got ${batch.rows}`)
  return batch
}
