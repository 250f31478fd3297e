// `validate_only`: everything that a submission is checked for, and three scored rows; nothing is submitted.
import Type, { type Static } from 'typebox'
import { type Column, kindName } from '../../../topics/columns.ts'
import { isScheduled, newSchedule, upcoming } from '../../job/schedule.ts'
import type { ProcessContext } from '../../process.ts'
import type { IsolatedModels } from '../models/isolated-models.ts'
import { notFound } from '../problem.ts'
import type { LiveJobs } from './live-jobs.ts'
import { Sampler } from './sample.ts'
import { checkJob, estimatedOf, minutesOf } from './submission.ts'

export const ValidateOnly = Type.Object(
  {
    validate_only: Type.Optional(
      Type.Enum(['true', 'false'], { description: 'Check everything, submit nothing, and score three sample rows' }),
    ),
  },
  { additionalProperties: false },
)

export const ValidBody = Type.Object({
  valid: Type.Literal(true),
  model_version: Type.Integer(),
  input_row_count: Type.Integer(),
  input_row_count_estimated: Type.Boolean(),
  estimated_duration_minutes: Type.Number(),
  query_columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
  columns: Type.Array(Type.Array(Type.Object({ name: Type.String(), type: Type.String() })), {
    description: 'The columns of each output',
  }),
  sample: Type.Union([Type.Array(Type.Record(Type.String(), Type.Unknown())), Type.Null()], {
    description: 'The first rows, scored; null when the query takes long to give them',
  }),
  sample_errors: Type.Array(Type.String(), { description: 'Why rows of the sample could not be scored' }),
  next_firings: Type.Optional(Type.Array(Type.String(), { description: 'Of a schedule: the next three' })),
})

/** Throws `HttpProblem` with all faults. */
export type Validate = (body: unknown, tenantId: string) => Promise<Static<typeof ValidBody>>

export function validator(context: ProcessContext, live: LiveJobs, isolated: IsolatedModels): Validate {
  const sampler = new Sampler(context, isolated)
  return async (body, tenantId) => {
    const checked = await checkJob(body, tenantId, context)
    const { spec, plan, modelVersion } = checked
    const model = await context.views.findModel(tenantId, spec.modelId, modelVersion)
    if (!model) throw notFound(`model ${spec.modelId}`, 'GET /api/v1/models lists yours')
    const sample = await sampler.take(spec, plan, model)
    return {
      valid: true,
      model_version: modelVersion,
      input_row_count: Number(plan.total_rows),
      input_row_count_estimated: plan.rows_estimated,
      estimated_duration_minutes: minutesOf(live.estimateMs(estimatedOf(tenantId, checked))),
      query_columns: plan.query_columns.map(named),
      columns: plan.output_columns.map((columns) => columns.map(named)),
      sample: sample?.rows ?? null,
      sample_errors: [...(sample?.failed ?? [])],
      ...(isScheduled(body) ? { next_firings: nextFirings(tenantId, body) } : {}),
    }
  }
}

function named(column: Column): { name: string; type: string } {
  return { name: column.name, type: column.sqlType ?? kindName(column) }
}

function nextFirings(tenantId: string, body: unknown): string[] {
  const schedule = newSchedule('schedule-not-made', tenantId, body, Date.now())
  return upcoming(schedule, 3).map((at) => new Date(at).toISOString())
}
