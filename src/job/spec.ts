// The body of a submission: its schema (which also documents it), its check, and its defaults. Pure. REST and direct
// Kafka commands go through the same function.
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import type { Problem } from '../../connectors/connector.ts'
import {
  COMPRESSIONS,
  DESTINATIONS,
  type JobConfig,
  type JobInput,
  type JobOutput,
  WRITE_MODES,
} from '../../topics/jobs.ts'
import { LANES } from '../../topics/topic.ts'

export const MAX_BATCH_SIZE = 100_000

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
          Type.String({ minLength: 1, description: 'Column of the query that is unique and not NULL' }),
        ),
      },
      strict,
    ),
    output: Type.Object(
      {
        destination: Type.Enum([...DESTINATIONS]),
        connection: Type.Optional(
          Type.String({ minLength: 1, description: 'Database of a table; default `warehouse`' }),
        ),
        table_name: Type.Optional(Type.String({ minLength: 1, description: 'For `table`: `schema.table`' })),
        path: Type.Optional(
          Type.String({ minLength: 1, description: 'For `parquet` and `csv`: a directory under OUTPUT_ROOTS' }),
        ),
        topic: Type.Optional(Type.String({ minLength: 1, description: 'For `kafka`' })),
        format: Type.Optional(
          Type.Enum(['avro', 'json'], {
            description: 'For `kafka`; default `avro` when the service has a schema registry, else `json`',
          }),
        ),
        mode: Type.Optional(
          Type.Enum([...WRITE_MODES], { description: 'Default `overwrite`; for `kafka` `append`, the only one there' }),
        ),
        columns: Type.Optional(
          Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: 'Only these columns, in this order' }),
        ),
        key_columns: Type.Optional(
          Type.Array(Type.String({ minLength: 1 }), {
            minItems: 1,
            maxItems: 32,
            description: 'For mode `upsert`: the columns that say which row is replaced; default `input.key_column`',
          }),
        ),
        compression: Type.Optional(
          Type.Enum([...COMPRESSIONS], {
            description: '`parquet`: `zstd` (default), `snappy` or `none`; `csv`: `none` (default) or `gzip`',
          }),
        ),
        target_file_mb: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 4096,
            description: 'For files: a part has about this size; default 128',
          }),
        ),
        formula_guard: Type.Optional(
          Type.Boolean({
            description: 'For `csv`: text that a spreadsheet would run as a formula gets a leading quote; default true',
          }),
        ),
      },
      strict,
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
            Type.Integer({ minimum: 0, maximum: 100, description: 'Further attempts; default 3' }),
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
  readonly output: JobOutput
  readonly config: JobConfig
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
  const { input, output, config = {} } = body
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
      output: {
        destination: output.destination,
        connection: output.destination === 'table' ? (output.connection ?? 'warehouse') : null,
        table_name: output.table_name ?? null,
        path: output.path ?? null,
        topic: output.topic ?? null,
        format: output.format ?? null,
        mode: output.mode ?? (output.destination === 'kafka' ? 'append' : 'overwrite'),
        columns: output.columns ?? null,
        key_columns: output.mode === 'upsert' ? (output.key_columns ?? keyOf(input)) : null,
        compression: output.compression ?? DEFAULT_COMPRESSION[output.destination],
        target_file_mb: isFiles(output.destination) ? (output.target_file_mb ?? DEFAULT_FILE_MB) : null,
        formula_guard: output.destination === 'csv' ? (output.formula_guard ?? true) : null,
      },
      config: {
        batch_size: config.batch_size ?? 1000,
        parallelism: config.parallelism ?? defaults.parallelism,
        max_memory_gb: config.max_memory_gb ?? 16,
        timeout_minutes: config.timeout_minutes ?? 60,
        retry_count: config.retry_count ?? 3,
        accelerator: config.accelerator ?? 'auto',
        max_failed_rows: config.max_failed_rows ?? 0,
      },
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
  const text = jsonText(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'nothing'
  } catch {
    return 'a value nested too deeply to show'
  }
}

const DEFAULT_FILE_MB = 128
const DEFAULT_COMPRESSION = { parquet: 'zstd', csv: 'none', table: null, kafka: null } as const

function isFiles(destination: JobOutput['destination']): boolean {
  return destination === 'parquet' || destination === 'csv'
}

function keyOf({ key_column }: JobRequest['input']): string[] | null {
  return key_column === undefined ? null : [key_column]
}

const NEEDED = { table: 'table_name', parquet: 'path', csv: 'path', kafka: 'topic' } as const

function crossFieldProblems({ model_id, output }: JobRequest): Problem[] {
  const problems: Problem[] = []
  if (!/^[^@]+(@[1-9]\d{0,8})?$/.test(model_id)) {
    problems.push({ code: 'invalid', pointer: '/model_id', detail: `expected id or id@version, got ${model_id}` })
  }
  const needed = NEEDED[output.destination]
  if (output[needed] === undefined) {
    problems.push({
      code: 'required',
      pointer: `/output/${needed}`,
      detail: `destination ${output.destination} needs ${needed}`,
    })
  }
  for (const [name, destinations] of Object.entries(ONLY_FOR)) {
    if (output[name as keyof typeof ONLY_FOR] === undefined || destinations.includes(output.destination)) continue
    problems.push({
      code: 'unknown_field',
      pointer: `/output/${name}`,
      detail: `${name} does not belong to destination ${output.destination}`,
    })
  }
  const compressions: readonly string[] = COMPRESSIONS_OF[output.destination] ?? []
  if (output.compression !== undefined && compressions.length && !compressions.includes(output.compression)) {
    problems.push({
      code: 'invalid',
      pointer: '/output/compression',
      detail: `expected ${compressions.join(', ')} for ${output.destination}, got ${output.compression}`,
    })
  }
  if (output.key_columns !== undefined && output.mode !== 'upsert') {
    problems.push({
      code: 'unknown_field',
      pointer: '/output/key_columns',
      detail: 'key_columns belongs to mode upsert',
    })
  }
  return problems
}

/** Fields of an output that only some destinations have. */
const ONLY_FOR: Record<
  | 'connection'
  | 'table_name'
  | 'path'
  | 'topic'
  | 'format'
  | 'key_columns'
  | 'compression'
  | 'target_file_mb'
  | 'formula_guard',
  readonly JobOutput['destination'][]
> = {
  connection: ['table'],
  table_name: ['table'],
  path: ['parquet', 'csv'],
  topic: ['kafka'],
  format: ['kafka'],
  key_columns: ['table'],
  compression: ['parquet', 'csv'],
  target_file_mb: ['parquet', 'csv'],
  formula_guard: ['csv'],
}

const COMPRESSIONS_OF: Partial<Record<JobOutput['destination'], readonly string[]>> = {
  parquet: ['zstd', 'snappy', 'none'],
  csv: ['none', 'gzip'],
}
