// The first rows of a job that nobody has submitted yet, scored as a scorer would: what `validate_only` shows.
import { type Column, type ColumnBatch, elementsOf, type Vector } from '../../../topics/columns.ts'
import type { JobInput, JobPlan } from '../../../topics/jobs.ts'
import type { ModelRecord } from '../../../topics/models.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import type { JobSpec } from '../../job/spec.ts'
import type { ProcessContext } from '../../process.ts'
import { cellText } from '../../scorer/cell-text.ts'
import type { IsolatedModels } from '../models/isolated-models.ts'

export const SAMPLE_ROWS = 3
/** A query that has no row by then (a large sort) is shown without. */
const READ_MS = 5_000

type Scalar = string | number | boolean | null

export type SampleRow = Record<string, Scalar | Scalar[]>

export interface Sample {
  readonly rows: SampleRow[]
  /** Why rows of the sample could not be scored. */
  readonly failed: readonly string[]
}

export class Sampler {
  readonly #context: ProcessContext
  readonly #isolated: IsolatedModels

  constructor(context: ProcessContext, isolated: IsolatedModels) {
    this.#context = context
    this.#isolated = isolated
  }

  /** Null when the query takes too long to give its first rows. */
  async take({ input, config }: JobSpec, plan: JobPlan, model: ModelRecord): Promise<Sample | null> {
    const batch = await this.#firstRows(input, plan.query_columns)
    if (batch === null) return null
    if (batch.rows === 0) return { rows: [], failed: [] }
    const work = { model, plan, payload: encodeColumns(batch) }
    const { payload, failed } = await this.#isolated.score(work, config.max_memory_gb * 2 ** 30)
    return { rows: rowsOf(decodeColumns(payload)), failed }
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
