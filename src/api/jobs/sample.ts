// The first rows of a job that nobody has submitted yet, scored as a scorer would: what `validate_only` shows.
import { type Column, type ColumnBatch, elementsOf, type Vector } from '../../../topics/columns.ts'
import type { JobInput, JobPlan } from '../../../topics/jobs.ts'
import type { ModelRecord } from '../../../topics/models.ts'
import { openSession } from '../../model/session.ts'
import { matchColumns, selectScored } from '../../model/signature.ts'
import { type ModelStore, openModelStore } from '../../model/store.ts'
import type { ProcessContext } from '../../process.ts'
import { cellText } from '../../scorer/cell-text.ts'
import { scoreChunk } from '../../scorer/score-chunk.ts'

export const SAMPLE_ROWS = 3
/** A query that has no row by then (a large sort) is shown without. */
const READ_MS = 5_000

type Scalar = string | number | boolean | null

export type SampleRow = Record<string, Scalar | Scalar[]>

export interface Sample {
  readonly rows: SampleRow[]
  /** Why rows of the sample could not be scored. */
  readonly failed: string[]
}

export class Sampler {
  readonly #context: ProcessContext
  readonly #store: Promise<ModelStore>

  constructor(context: ProcessContext) {
    this.#context = context
    this.#store = openModelStore(context.config.modelStore)
  }

  /** Null when the query takes too long to give its first rows. */
  async take(input: JobInput, plan: JobPlan, model: ModelRecord): Promise<Sample | null> {
    const batch = await this.#firstRows(input, plan.query_columns)
    if (batch === null) return null
    if (batch.rows === 0) return { rows: [], failed: [] }
    const signature = { inputs: model.inputs, outputs: model.outputs }
    const matched = matchColumns({ signature, features: model.features }, plan.query_columns)
    const selected = 'problems' in matched ? matched : selectScored(matched.plan, plan.scored_columns)
    if ('problems' in selected) throw new Error(selected.problems.map(({ detail }) => detail).join('; '))
    const session = await openSession(await (await this.#store).get(model.location, model.sha256))
    try {
      const scored = await scoreChunk(session, selected.plan, batch)
      return { rows: rowsOf(scored.batch), failed: scored.failed.map(({ reason }) => reason) }
    } finally {
      await session.release()
    }
  }

  async #firstRows(input: JobInput, columns: readonly Column[]): Promise<ColumnBatch | null> {
    const signal = AbortSignal.timeout(READ_MS)
    const options = { columns, chunkRows: SAMPLE_ROWS, signal }
    try {
      for await (const batch of this.#context.connectors.source.read(input, options)) return batch
    } catch (error) {
      if (signal.aborted) return null
      throw error
    }
    return { columns, vectors: [], rows: 0 }
  }
}

/** The first rows of a batch, as JSON has them. */
export function rowsOf(batch: ColumnBatch, limit = batch.rows): SampleRow[] {
  return Array.from({ length: Math.min(limit, batch.rows) }, (_, row) =>
    Object.fromEntries(
      batch.columns.map((column, i) => {
        const vector = batch.vectors[i]
        return [column.name, vector ? jsonCell(column, vector, row) : null]
      }),
    ),
  )
}

function jsonCell(column: Column, vector: Vector, row: number): SampleRow[string] {
  const { length } = column
  if (length === undefined) return scalarOf(column, cellText(column, vector, row))
  const element = elementsOf(column)
  return Array.from({ length }, (_, i) => scalarOf(element, cellText(element, vector, row * length + i)))
}

/** Numbers and booleans as such where JSON holds them without loss, everything else as text. */
function scalarOf({ kind }: Column, text: string | null): Scalar {
  if (text === null) return null
  if (kind === 'bool') return text === 'true'
  if (!['int16', 'int32', 'int64', 'float32', 'float64'].includes(kind)) return text
  const number = Number(text)
  const exact = kind === 'int64' ? Number.isSafeInteger(number) : Number.isFinite(number)
  return exact ? number : text
}
