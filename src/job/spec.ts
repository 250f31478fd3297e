// The body of a submission: its schema (which also documents it), its check, and its defaults. Pure. REST and direct
// Kafka commands go through the same function.
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import type { Problem } from '../../connectors/connector.ts'
import type { JobConfig, JobInput, JobOutput } from '../../topics/jobs.ts'
import { LANES } from '../../topics/topic.ts'
import { cut } from '../cut.ts'
import { filledIn, OutputRequest, outputProblems, placeOf } from './output-spec.ts'
import { ScheduleRequest, scheduleProblems } from './schedule-spec.ts'
import { WebhookRequest, type WebhookSpec, webhookSpec, webhookUrlProblems } from './webhook-spec.ts'

export const MAX_BATCH_SIZE = 100_000
/** Outputs of one job. */
const MAX_OUTPUTS = 8

const strict = { additionalProperties: false }

export const JobRequest = Type.Object(
  {
    model_id: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Registered model: `id` (newest version) or `id@version`',
    }),
    input: Type.Object(
      {
        source: Type.Enum(['sql']),
        query: Type.String({ minLength: 1, maxLength: 100_000, description: 'One SELECT statement' }),
        connection: Type.Optional(
          Type.String({ minLength: 1, description: 'Name of a configured database; default `warehouse`' }),
        ),
        key_column: Type.Optional(
          Type.String({
            minLength: 1,
            description:
              'Column of the query that is unique and not NULL: rows are read in its order, and a read that was cut off goes on in the same attempt',
          }),
        ),
      },
      strict,
    ),
    output: Type.Optional(OutputRequest),
    outputs: Type.Optional(
      Type.Array(OutputRequest, {
        minItems: 1,
        maxItems: MAX_OUTPUTS,
        description: 'Further outputs, or all of them: the rows are scored once for all',
      }),
    ),
    config: Type.Optional(
      Type.Object(
        {
          batch_size: Type.Optional(
            Type.Integer({ minimum: 1, maximum: MAX_BATCH_SIZE, description: 'Rows of a chunk; default 1000' }),
          ),
          parallelism: Type.Optional(
            Type.Integer({ minimum: 1, maximum: LANES, description: 'Lanes; default BATCH_DEFAULT_PARALLELISM' }),
          ),
          max_memory_gb: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1024 })),
          timeout_minutes: Type.Optional(
            Type.Number({
              exclusiveMinimum: 0,
              maximum: 10_080,
              description: 'Deadline, counted from `preparing`; default 60',
            }),
          ),
          retry_count: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 100,
              description: 'Further attempts, and reads gone on with; default 3',
            }),
          ),
          accelerator: Type.Optional(Type.Enum(['cpu', 'gpu', 'auto'])),
          max_failed_rows: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 2_000_000_000,
              description: 'Rows that may fail before the job does; default 0',
            }),
          ),
        },
        strict,
      ),
    ),
    webhook: Type.Optional(WebhookRequest),
    schedule: Type.Optional(ScheduleRequest),
  },
  { ...strict, title: 'JobRequest' },
)

export type JobRequest = Static<typeof JobRequest>

/** A request with every default filled in. */
export interface JobSpec {
  readonly modelId: string
  /** Null asks for the newest. */
  readonly modelVersion: number | null
  readonly input: JobInput
  readonly outputs: readonly JobOutput[]
  /** Where each output is in the request: `/output`, `/outputs/0`, … */
  readonly outputPointers: readonly string[]
  readonly config: JobConfig
  /** Whom to tell of the end. */
  readonly webhook: WebhookSpec | null
}

// All faults at once; the library stops at eight by itself.
Settings.Set({ maxErrors: 100 })
const compiled = Compile(JobRequest)

/** Checks a body of any kind; all faults are named at once. */
export function parseJob(
  body: unknown,
  defaults: { parallelism: number },
): { spec: JobSpec } | { problems: Problem[] } {
  if (!compiled.Check(body)) return { problems: schemaProblems(compiled.Errors(body), body) }
  const problems = crossFieldProblems(body)
  if (problems.length) return { problems }
  const [modelId = '', version] = body.model_id.split('@')
  const { input, config = {} } = body
  const outputs = outputsOf(body)
  return {
    spec: {
      modelId,
      modelVersion: version === undefined ? null : Number(version),
      input: {
        source: 'sql',
        query: input.query,
        connection: input.connection ?? 'warehouse',
        key_column: input.key_column ?? null,
      },
      outputs: outputs.map(({ output }) => filledIn(output, input)),
      outputPointers: outputs.map(({ pointer }) => pointer),
      config: {
        batch_size: config.batch_size ?? 1000,
        parallelism: config.parallelism ?? defaults.parallelism,
        max_memory_gb: config.max_memory_gb ?? 16,
        timeout_minutes: config.timeout_minutes ?? 60,
        retry_count: config.retry_count ?? 3,
        accelerator: config.accelerator ?? 'auto',
        max_failed_rows: config.max_failed_rows ?? 0,
      },
      webhook: body.webhook ? webhookSpec(body.webhook) : null,
    },
  }
}

type SchemaError = { keyword: string; instancePath: string; message: string; params: object }

/** Errors of the compiled schema, each as a problem that names the field, what is expected and what came. */
export function schemaProblems(errors: readonly SchemaError[], body: unknown): Problem[] {
  return errors.flatMap((error): Problem[] => {
    const params = error.params as Record<string, unknown>
    const at = (name: string) => `${error.instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    switch (error.keyword) {
      case 'boolean':
        return [] // said again, better, by additionalProperties
      case 'required':
        return (params.requiredProperties as string[]).map((name) => ({
          code: 'required',
          pointer: at(name),
          detail: `${name} is missing`,
        }))
      case 'additionalProperties':
        return (params.additionalProperties as string[]).map((name) => ({
          code: 'unknown_field',
          pointer: at(name),
          detail: `${name} is no field of this object; check its spelling`,
        }))
      case 'enum':
        return [
          {
            code: 'invalid',
            pointer: error.instancePath,
            detail: `expected one of ${(params.allowedValues as unknown[]).join(', ')}; got ${shown(body, error.instancePath)}`,
          },
        ]
      default:
        return [
          {
            code: 'invalid',
            pointer: error.instancePath,
            detail: `${error.message}; got ${shown(body, error.instancePath)}`,
          },
        ]
    }
  })
}

function shown(body: unknown, pointer: string): string {
  let value = body
  for (const part of pointer.split('/').slice(1))
    value = (value as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')]
  return shownValue(value)
}

/** A value of any size and depth as an error message shows it. */
export function shownValue(value: unknown): string {
  return cut(jsonText(value), 100)
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'nothing'
  } catch {
    return 'a value nested too deeply to show'
  }
}

/** Each output and where it is. */
function outputsOf({ output, outputs = [] }: JobRequest): { output: OutputRequest; pointer: string }[] {
  return [
    ...(output ? [{ output, pointer: '/output' }] : []),
    ...outputs.map((further, i) => ({ output: further, pointer: `/outputs/${i}` })),
  ]
}

function crossFieldProblems(body: JobRequest): Problem[] {
  const problems: Problem[] = []
  if (!/^[^@]+(@[1-9]\d{0,8})?$/.test(body.model_id)) {
    problems.push({ code: 'invalid', pointer: '/model_id', detail: `expected id or id@version, got ${body.model_id}` })
  }
  const outputs = outputsOf(body)
  if (!outputs.length) problems.push({ code: 'required', pointer: '/output', detail: 'output is missing' })
  if (outputs.length > MAX_OUTPUTS) {
    const detail = `expected at most ${MAX_OUTPUTS} outputs, got ${outputs.length}`
    problems.push({ code: 'invalid', pointer: '/outputs', detail })
  }
  problems.push(...outputs.flatMap(({ output, pointer }) => outputProblems(output, pointer)))
  if (body.webhook) problems.push(...webhookUrlProblems(body.webhook))
  if (body.schedule) problems.push(...scheduleProblems(body.schedule, '/schedule'))
  const places = outputs.map(({ output }) => placeOf(output))
  outputs.forEach(({ pointer }, i) => {
    const first = places.indexOf(places[i] as string)
    if (first === i) return
    const detail = `${places[i]} is the target of ${outputs[first]?.pointer} already; give each output a place of its own`
    problems.push({ code: 'output_repeated', pointer, detail })
  })
  return problems
}
