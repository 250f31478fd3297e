// How a query's columns go into a model and come out again: what signature.ts decides once for a job, and what the scorer
// follows for every chunk.
import type { Problem } from '../../connectors/connector.ts'
import { type Column, type ColumnKind, LIST_KINDS } from '../../topics/columns.ts'
import type { TensorSpec, TensorType } from '../../topics/models.ts'

/** One input of the model: `matrix` is [N, columns], `column` is [N, 1], `vector` is [N]. */
export interface PlanInput {
  readonly name: string
  readonly type: TensorType
  readonly shape: 'matrix' | 'column' | 'vector'
  /** Query columns, in the order of the tensor's second dimension. */
  readonly columns: readonly string[]
}

/** One prediction column: element `index` of each row of an output with `width` elements a row; null: all, as a list. */
export interface Prediction {
  readonly column: Column
  readonly output: string
  readonly type: TensorType
  readonly index: number | null
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
  /** Every prediction that the model makes, chosen or not, one by one. */
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
 * Narrows a plan to `output.columns`: only those, in that order. Any query column may be named, a feature too, and an
 * output of several elements a row, as one list. Null keeps the plan. Outputs that no chosen column needs are not computed.
 */
export function selectColumns(
  plan: ScoringPlan,
  columns: readonly string[] | null,
): { plan: ScoringPlan } | { problems: Problem[] } {
  if (columns === null) return { plan }
  const known = plainOutputs(plan)
  const lists = listOutputs(plan)
  const problems: Problem[] = []
  const add = (code: string, detail: string) => problems.push({ code, pointer: '/output/columns', detail })
  if (columns.length === 0) add('column_unknown', 'expected at least one column, got an empty list')
  const missing = columns.filter((name) => !known.has(name) && !lists.has(name))
  const unlisted = plan.predictions.filter(({ output, index }) => index === 0 && missing.includes(output))
  const unknown = missing.filter((name) => !unlisted.some(({ output }) => output === name))
  if (unknown.length > 0) {
    const names = new Set([...known.keys(), ...lists.keys()])
    add('column_unknown', `the result has no column ${unknown.join(', ')}; there are ${[...names].join(', ')}`)
  }
  for (const { output, type, width } of unlisted) {
    add(
      'list_not_supported',
      `${output} has ${width} elements of ${type} a row, and lists are of ${LIST_KINDS.join(', ')}: name its columns instead, ${singly(output, width)}`,
    )
  }
  for (const { output, width } of lists.values()) {
    if (!columns.includes(output) || known.get(output)?.from !== 'query') continue
    add(
      'column_conflict',
      `${output} is both a column of the query and an output of the model: rename the query's with AS, or name the model's columns ${singly(output, width)} instead of their list`,
    )
  }
  const repeated = duplicates(columns)
  if (repeated.length > 0) add('column_conflict', `each column may be named once: ${repeated.join(', ')}`)
  if (problems.length > 0) return { problems }
  return {
    plan: scoringPlan(
      plan,
      columns.flatMap((name) => known.get(name) ?? lists.get(name) ?? []),
    ),
  }
}

/**
 * Narrows a plan to the columns of a job that was accepted, which `selectColumns` chose. Their names alone would not
 * do: where no `columns` are asked for, a query column may pass through under the name of a list.
 */
export function selectScored(
  plan: ScoringPlan,
  scored: readonly Column[],
): { plan: ScoringPlan } | { problems: Problem[] } {
  const known = plainOutputs(plan)
  const lists = listOutputs(plan)
  const outputs = scored.map(({ name, length }) => (length === undefined ? known : lists).get(name))
  if (outputs.every((output) => output !== undefined)) return { plan: scoringPlan(plan, outputs) }
  const unknown = scored.filter((_, i) => outputs[i] === undefined).map(({ name }) => name)
  const detail = `the job's plan has columns that its query and model do not give: ${unknown.join(', ')}`
  return { problems: [{ code: 'column_unknown', pointer: '/output/columns', detail }] }
}

/** What `output.columns` may name, lists aside. */
function plainOutputs({ queryColumns, predictions }: ScoringPlan): Map<string, PlanOutput> {
  // The later entry wins: a feature must not hide a prediction of the same name.
  return new Map<string, PlanOutput>([
    ...queryColumns.map((column) => [column.name, { from: 'query', column }] as const),
    ...predictions.map((prediction) => [prediction.column.name, { from: 'model', ...prediction }] as const),
  ])
}

/** Outputs [N,K] as one column each: `<output>`, a list of what `<output>_0 … <output>_{K-1}` are one by one. */
function listOutputs({ predictions }: ScoringPlan): Map<string, Prediction & { from: 'model' }> {
  const lists = predictions.filter(({ column, index, width }) => index === 0 && width > 1 && isListed(column.kind))
  return new Map(
    lists.map((first) => {
      const column = { name: first.output, kind: first.column.kind, length: first.width }
      return [first.output, { ...first, from: 'model', column, index: null }]
    }),
  )
}

function isListed(kind: ColumnKind): boolean {
  return LIST_KINDS.some((each) => each === kind)
}

function singly(output: string, width: number): string {
  return `${output}_0 … ${output}_${width - 1}`
}

/** Names that occur more than once, each once. */
export function duplicates(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))]
}
