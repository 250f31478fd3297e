// What has to be known, and right, before a job is accepted: the query's columns, the model's version and how they fit,
// the destination, the number of rows. The API does this before it answers; the controller for direct commands.
import { ConnectorError, type Problem, type RowCount, type Sink, type Source } from '../../connectors/connector.ts'
import type { Column } from '../../topics/columns.ts'
import type { Destination, JobOutput, JobPlan } from '../../topics/jobs.ts'
import type { ModelRecord } from '../../topics/models.ts'
import { matchColumns, selectColumns } from '../model/signature.ts'
import type { JobSpec } from './spec.ts'

/** What planning asks of the world. */
export interface PlanningWorld {
  readonly source: Source
  sinkFor(destination: Destination): Sink | undefined
  findModel(modelId: string, version: number | null): Promise<ModelRecord | undefined>
  /** What is wrong with a well-formed URL for a webhook; a receiver that is away is not. */
  webhookProblems(url: string): Promise<Problem[]>
  readonly maxInputRows: number
}

/** A plan and the model version that it is for. */
export interface Planned {
  readonly plan: JobPlan
  readonly modelVersion: number
}

/** Counting longer than this is not worth the wait; the planner's estimate stands in and the answer says so. */
const COUNT_LIMIT_MS = 2_000

/** Plans a job, or names everything that is wrong with it. Throws `ConnectorError` when a database is away. */
export async function planJob(spec: JobSpec, world: PlanningWorld): Promise<Planned | { problems: Problem[] }> {
  const model = await world.findModel(spec.modelId, spec.modelVersion)
  const sinks = spec.outputs.map(({ destination }) => world.sinkFor(destination))
  const described = await world.source.describe(spec.input)
  const problems: Problem[] = [
    ...(model ? [] : [modelNotFound(spec)]),
    ...spec.outputs.flatMap((output, i) => (sinks[i] ? [] : at(spec, i, [noSuchDestination(output)]))),
    ...('problems' in described ? described.problems : []),
    ...(spec.webhook ? await world.webhookProblems(spec.webhook.url) : []),
  ]
  if (!model || !sinks.every((sink) => sink !== undefined) || 'problems' in described) return { problems }

  const key = spec.input.key_column
  if (key !== null && !described.columns.some((column) => column.name === key)) {
    const names = described.columns.map((column) => column.name).join(', ')
    problems.push({
      code: 'column_not_found',
      pointer: '/input/key_column',
      detail: `key_column ${key} is no column of the query, which gives ${names}`,
    })
  }
  const matched = matchColumns(
    { signature: { inputs: model.inputs, outputs: model.outputs }, features: model.features },
    described.columns,
  )
  if ('problems' in matched) return { problems: [...problems, ...matched.problems] }
  const columns = spec.outputs.map((output, i): Column[] | null => {
    const selected = selectColumns(matched.plan, output.columns)
    if ('plan' in selected) return [...selected.plan.outputColumns]
    problems.push(...at(spec, i, selected.problems))
    return null
  })

  const [count, ...outputProblems] = await Promise.all([
    problems.length ? null : countRows(spec, world.source),
    ...sinks.map(async (sink, i) => {
      const chosen = columns[i]
      return chosen ? at(spec, i, await sink.check(spec.outputs[i] as JobOutput, chosen, spec.input)) : []
    }),
  ])
  problems.push(...outputProblems.flat())
  if (count && 'code' in count) return { problems: [...problems, count] }
  if (count && count.rows > BigInt(world.maxInputRows)) {
    const about = count.estimated ? 'about ' : ''
    problems.push({
      code: 'too_many_rows',
      pointer: '/input/query',
      detail: `the query gives ${about}${count.rows} rows and BATCH_MAX_INPUT_ROWS allows ${world.maxInputRows}; split it into several jobs, e.g. by ranges of a key`,
    })
  }
  if (problems.length || !count || !columns.every((chosen) => chosen !== null)) return { problems }
  return {
    modelVersion: model.version,
    plan: {
      model_sha256: model.sha256,
      query_columns: described.columns,
      scored_columns: [...new Map(columns.flat().map((column) => [column.name, column])).values()],
      output_columns: columns,
      total_rows: count.rows,
      rows_estimated: count.estimated,
    },
  }
}

/** The query's rows, or the problem that counting them showed: it fails on some row. */
async function countRows({ input }: JobSpec, source: Source): Promise<RowCount | Problem> {
  try {
    return await source.count(input, COUNT_LIMIT_MS)
  } catch (error) {
    if (!(error instanceof ConnectorError) || error.retriable) throw error
    return { code: error.code, pointer: '/input/query', detail: error.message }
  }
}

function modelNotFound({ modelId, modelVersion }: JobSpec): Problem {
  const name = modelVersion === null ? modelId : `${modelId}@${modelVersion}`
  return {
    code: 'model_not_found',
    pointer: '/model_id',
    detail: `model ${name} is not registered; register it with PUT /api/v1/models/${modelId}, or see GET /api/v1/models`,
  }
}

function noSuchDestination({ destination }: JobOutput): Problem {
  return {
    code: 'destination_not_supported',
    pointer: '/output/destination',
    detail: `destination ${destination} is not available here; use table, parquet, csv or kafka`,
  }
}

/** Problems of an output, which speak of `/output`, with the pointer that it has in the request. */
function at({ outputPointers }: JobSpec, output: number, problems: readonly Problem[]): Problem[] {
  return problems.map((problem) => ({
    ...problem,
    pointer: problem.pointer.replace(/^\/output(?=\/|$)/, outputPointers[output] as string),
  }))
}
