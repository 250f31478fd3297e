// How a query's columns go into a model and come out again: what signature.ts decides once for a job, and what the scorer
// follows for every chunk.
import type { Problem } from '../../connectors/connector.ts'
import type { Column, ColumnKind } from '../../topics/columns.ts'
import type { TensorSpec, TensorType } from '../../topics/models.ts'

/** One input of the model: `matrix` is [N, columns], `column` is [N, 1], `vector` is [N]. */
export interface PlanInput {
  readonly name: string
  readonly type: TensorType
  readonly shape: 'matrix' | 'column' | 'vector'
  /** Query columns, in the order of the tensor's second dimension. */
  readonly columns: readonly string[]
}

/** One prediction column: element `index` of each row of an output with `width` elements a row. */
export interface Prediction {
  readonly column: Column
  readonly output: string
  readonly type: TensorType
  readonly index: number
  readonly width: number
}

/** A column of the result: a column of the query, or a prediction. */
export type PlanOutput = { readonly from: 'query'; readonly column: Column } | ({ readonly from: 'model' } & Prediction)

/** Plain data; the same model record and query columns give the same plan in every process. */
export interface ScoringPlan {
  readonly queryColumns: readonly Column[]
  readonly inputs: readonly PlanInput[]
  /** Names of the query columns that the result carries, in its order. */
  readonly passthrough: readonly string[]
  /** Every prediction that the model makes, chosen or not. */
  readonly predictions: readonly Prediction[]
  readonly outputs: readonly PlanOutput[]
  /** The columns of `outputs`. */
  readonly outputColumns: readonly Column[]
}

/** `outputs` in their order, with what follows from them. */
export function scoringPlan(
  base: Pick<ScoringPlan, 'queryColumns' | 'inputs' | 'predictions'>,
  outputs: readonly PlanOutput[],
): ScoringPlan {
  return {
    ...base,
    passthrough: outputs.filter((output) => output.from === 'query').map((output) => output.column.name),
    outputs,
    outputColumns: outputs.map((output) => output.column),
  }
}

/** Columns of a model's outputs: [N] and [N,1] become `<output>`, [N,K] becomes `<output>_0 … <output>_{K-1}`. */
export function predictionsOf(outputs: readonly TensorSpec[]): Prediction[] {
  return outputs.flatMap(({ name, type, shape }) => {
    const width = shape[1] ?? 1
    return Array.from({ length: width }, (_, index) => {
      const column = { name: width === 1 ? name : `${name}_${index}`, ...PREDICTION_TYPES[type] }
      return { column, output: name, type, index, width }
    })
  })
}

/** The narrowest column that holds every value of a tensor type. */
const PREDICTION_TYPES: Record<TensorType, { kind: ColumnKind; precision?: number; scale?: number }> = {
  float32: { kind: 'float32' },
  float64: { kind: 'float64' },
  float16: { kind: 'float32' },
  int8: { kind: 'int16' },
  uint8: { kind: 'int16' },
  int16: { kind: 'int16' },
  uint16: { kind: 'int32' },
  int32: { kind: 'int32' },
  uint32: { kind: 'int64' },
  int64: { kind: 'int64' },
  uint64: { kind: 'decimal', precision: 20, scale: 0 },
  bool: { kind: 'bool' },
  string: { kind: 'utf8' },
}

/**
 * Narrows a plan to `output.columns`: only those, in that order. Any query column may be named, a feature too. Null
 * keeps the plan. Outputs that no chosen column needs are not computed.
 */
export function selectColumns(
  plan: ScoringPlan,
  columns: readonly string[] | null,
): { plan: ScoringPlan } | { problems: Problem[] } {
  if (columns === null) return { plan }
  const pointer = '/output/columns'
  // The later entry wins: a feature must not hide a prediction of the same name.
  const known = new Map<string, PlanOutput>([
    ...plan.queryColumns.map((column) => [column.name, { from: 'query', column }] as const),
    ...plan.predictions.map((prediction) => [prediction.column.name, { from: 'model', ...prediction }] as const),
  ])
  const unknown = columns.filter((name) => !known.has(name))
  const repeated = duplicates(columns)
  const problems: Problem[] = []
  if (columns.length === 0) {
    problems.push({ code: 'column_unknown', pointer, detail: 'expected at least one column, got an empty list' })
  }
  if (unknown.length > 0) {
    const detail = `the result has no column ${unknown.join(', ')}; there are ${[...known.keys()].join(', ')}`
    problems.push({ code: 'column_unknown', pointer, detail })
  }
  if (repeated.length > 0) {
    problems.push({ code: 'column_conflict', pointer, detail: `each column may be named once: ${repeated.join(', ')}` })
  }
  if (problems.length > 0) return { problems }
  return {
    plan: scoringPlan(
      plan,
      columns.flatMap((name) => known.get(name) ?? []),
    ),
  }
}

/** Names that occur more than once, each once. */
export function duplicates(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))]
}
