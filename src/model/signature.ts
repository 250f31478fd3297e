// Fits a query to a model, before a job is accepted and again in every scorer: which columns feed which input, what passes
// through, and what the result's columns are. Pure.
import type { Problem } from '../../connectors/connector.ts'
import type { Column, ColumnKind } from '../../topics/columns.ts'
import type { TensorType } from '../../topics/models.ts'
import { describeTensor, planInputs } from './features.ts'
import type { Signature } from './model.ts'
import {
  duplicates,
  type PlanInput,
  type PlanOutput,
  predictionsOf,
  type ScoringPlan,
  scoringPlan,
} from './scoring-plan.ts'

export { validateFeatures } from './features.ts'
export { type ScoringPlan, selectColumns, selectScored } from './scoring-plan.ts'

/** A registered model as far as columns are concerned: outputs as `probeOutputs` resolved them. */
export interface MatchableModel {
  readonly signature: Signature
  readonly features: readonly string[]
}

/**
 * The plan for scoring a query's rows, or what is in the way: `columns_mismatch` and `column_conflict` at `/input/query`,
 * `unsupported_output` and `column_conflict` at `/model_id`.
 */
export function matchColumns(
  model: MatchableModel,
  queryColumns: readonly Column[],
): { plan: ScoringPlan } | { problems: Problem[] } {
  const inputs = planInputs(model.signature, model.features)
  const predictions = predictionsOf(model.signature.outputs)
  const features = new Set(inputs.flatMap((input) => input.columns))
  const outputs: PlanOutput[] = [
    ...queryColumns
      .filter((column) => !features.has(column.name))
      .map((column) => ({ from: 'query', column }) as const),
    ...predictions.map((prediction) => ({ from: 'model', ...prediction }) as const),
  ]

  const problems = [
    ...unresolvedOutputs(model.signature),
    ...mismatch(inputs, queryColumns),
    ...conflicts(outputs, queryColumns),
  ]
  if (problems.length > 0) return { problems }
  return { plan: scoringPlan({ queryColumns, inputs, predictions }, outputs) }
}

const NUMBERS: readonly ColumnKind[] = ['int16', 'int32', 'int64', 'float32', 'float64', 'decimal', 'numeric']
const INTEGERS: readonly ColumnKind[] = ['int16', 'int32', 'int64']
const TEXTS: readonly ColumnKind[] = ['utf8', 'json', 'jsonb']

/** The kinds that a tensor type takes, and the SQL type to cast other columns to. Integers are range-checked row by row. */
const ACCEPTS: Record<TensorType, { kinds: readonly ColumnKind[]; cast: string }> = {
  float32: { kinds: NUMBERS, cast: 'real' },
  float64: { kinds: NUMBERS, cast: 'float8' },
  float16: { kinds: NUMBERS, cast: 'real' },
  int8: { kinds: INTEGERS, cast: 'int' },
  uint8: { kinds: INTEGERS, cast: 'int' },
  int16: { kinds: INTEGERS, cast: 'int' },
  uint16: { kinds: INTEGERS, cast: 'int' },
  int32: { kinds: INTEGERS, cast: 'int' },
  uint32: { kinds: INTEGERS, cast: 'bigint' },
  int64: { kinds: INTEGERS, cast: 'bigint' },
  uint64: { kinds: INTEGERS, cast: 'bigint' },
  bool: { kinds: ['bool'], cast: 'boolean' },
  string: { kinds: TEXTS, cast: 'text' },
}

function mismatch(inputs: readonly PlanInput[], queryColumns: readonly Column[]): Problem[] {
  const given = new Map(queryColumns.map((column) => [column.name, column]))
  const wanted = inputs.flatMap((input) => input.columns.map((name) => ({ name, type: input.type })))
  const missing = wanted.filter(({ name }) => !given.has(name))
  const wrong = wanted.flatMap(({ name, type }) => {
    const column = given.get(name)
    return column && !ACCEPTS[type].kinds.includes(column.kind) ? [{ column, type }] : []
  })
  if (missing.length === 0 && wrong.length === 0) return []

  const detail = [
    `the model takes ${wanted.map(({ name, type }) => `${name}: ${type}`).join(', ')};`,
    `the query gives ${queryColumns.map(describeColumn).join(', ') || 'no columns'}.`,
    ...(missing.length > 0
      ? [`Missing: ${missing.map(({ name }) => missingHint(name, queryColumns)).join(', ')}.`]
      : []),
    ...(wrong.length > 0 ? [`Wrong type: ${wrong.map(({ column, type }) => castHint(column, type)).join(', ')}.`] : []),
  ].join(' ')
  return [{ code: 'columns_mismatch', pointer: '/input/query', detail }]
}

/** A column with its type as the source declared it. */
function describeColumn(column: Column): string {
  const size = column.kind === 'decimal' ? `(${column.precision}, ${column.scale})` : ''
  return `${column.name}: ${column.sqlType ?? `${column.kind}${size}`}`
}

/** SQL folds names that are not quoted to lower case, which is the usual reason for a column that is not there. */
function missingHint(name: string, queryColumns: readonly Column[]): string {
  const near = queryColumns.find((column) => column.name.toLowerCase() === name.toLowerCase())
  return near ? `${name} (there is ${near.name}; write ${sqlName(near.name)} AS ${sqlName(name)})` : name
}

function castHint(column: Column, type: TensorType): string {
  const { kind } = column
  const name = sqlName(column.name)
  const { kinds, cast } = ACCEPTS[type]
  const cannot = `${describeColumn(column)} cannot feed ${type}`
  const number = kinds.includes('int32')
  if (number && kind === 'bool') return `${cannot} (cast it: ${name}::int)`
  if (number && (kind === 'date' || kind === 'timestamp' || kind === 'timestamptz')) {
    return `${cannot} (take a number from it: extract(epoch from ${name})::${cast} AS ${name})`
  }
  return `${cannot} (cast it: ${name}::${cast})`
}

/** A name as a query must write it. */
function sqlName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

function conflicts(outputs: readonly PlanOutput[], queryColumns: readonly Column[]): Problem[] {
  const problems: Problem[] = []
  const twice = duplicates(queryColumns.map((column) => column.name))
  if (twice.length > 0) {
    const detail = `the query gives more than one column named ${twice.join(', ')}; give each a name of its own with AS`
    problems.push({ code: 'column_conflict', pointer: '/input/query', detail })
  }
  const predicted = outputs.filter((output) => output.from === 'model').map((output) => output.column.name)
  const taken = new Set(predicted)
  const covered = outputs.filter((output) => output.from === 'query' && taken.has(output.column.name))
  for (const { column } of covered) {
    const detail = `column ${column.name} has the name of one of the model's predictions (${predicted.join(', ')}); rename it: ${sqlName(column.name)} AS ${sqlName(`${column.name}_in`)}`
    problems.push({ code: 'column_conflict', pointer: '/input/query', detail })
  }
  const within = duplicates(predicted)
  if (within.length > 0) {
    const detail = `the model makes more than one prediction named ${within.join(', ')}; rename its outputs`
    problems.push({ code: 'column_conflict', pointer: '/model_id', detail })
  }
  return problems
}

function unresolvedOutputs(signature: Signature): Problem[] {
  return signature.outputs
    .filter(({ shape }) => shape.length < 1 || shape.length > 2 || (shape[1] ?? 1) < 0)
    .map((output) => ({
      code: 'unsupported_output',
      pointer: '/model_id',
      detail: `output ${describeTensor(output)}: expected [N] or [N, K] with a known K; register the model again`,
    }))
}
