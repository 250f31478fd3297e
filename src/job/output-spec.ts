// One output of a submission: its schema, its defaults, and which fields belong to which destination. Pure.
import Type, { type Static } from 'typebox'
import type { Problem } from '../../connectors/connector.ts'
import { COMPRESSIONS, DESTINATIONS, type JobOutput, WRITE_MODES } from '../../topics/jobs.ts'

export const OutputRequest = Type.Object(
  {
    destination: Type.Enum([...DESTINATIONS]),
    connection: Type.Optional(Type.String({ minLength: 1, description: 'Database of a table; default `warehouse`' })),
    table_name: Type.Optional(Type.String({ minLength: 1, description: 'For `table`: `schema.table`' })),
    path: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'For `parquet` and `csv`: a directory or `s3://bucket/prefix/` under OUTPUT_ROOTS',
      }),
    ),
    topic: Type.Optional(Type.String({ minLength: 1, description: 'For `kafka`' })),
    format: Type.Optional(Type.Enum(['avro', 'json'])),
    mode: Type.Optional(Type.Enum([...WRITE_MODES], { description: 'Default `overwrite`' })),
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
  { additionalProperties: false },
)

export type OutputRequest = Static<typeof OutputRequest>

const DEFAULT_FILE_MB = 128
const DEFAULT_COMPRESSION = { parquet: 'zstd', csv: 'none', table: null, kafka: null } as const

/** The output with every default; what belongs to other destinations is null. */
export function filledIn(output: OutputRequest, input: { readonly key_column?: string }): JobOutput {
  const files = output.destination === 'parquet' || output.destination === 'csv'
  const keys = output.key_columns ?? (input.key_column === undefined ? null : [input.key_column])
  return {
    destination: output.destination,
    connection: output.destination === 'table' ? (output.connection ?? 'warehouse') : null,
    table_name: output.table_name ?? null,
    path: output.path ?? null,
    topic: output.topic ?? null,
    format: output.format ?? null,
    mode: output.mode ?? 'overwrite',
    columns: output.columns ?? null,
    key_columns: output.mode === 'upsert' ? keys : null,
    compression: output.compression ?? DEFAULT_COMPRESSION[output.destination],
    target_file_mb: files ? (output.target_file_mb ?? DEFAULT_FILE_MB) : null,
    formula_guard: output.destination === 'csv' ? (output.formula_guard ?? true) : null,
  }
}

/** Where an output goes, as its request spells it: two of a job must not go to the same place. */
export function placeOf(output: OutputRequest): string {
  const { destination, connection = 'warehouse', table_name, path, topic } = output
  if (destination === 'table') return `table ${connection}/${table_name}`
  return destination === 'kafka' ? `topic ${topic}` : `directory ${path?.replace(/\/+$/, '')}`
}

const NEEDED = { table: 'table_name', parquet: 'path', csv: 'path', kafka: 'topic' } as const

/** Fields that are missing, or that do not belong to the destination. `pointer` is the output's own. */
export function outputProblems(output: OutputRequest, pointer: string): Problem[] {
  const problems: Problem[] = []
  const add = (code: string, name: string, detail: string) =>
    problems.push({ code, pointer: `${pointer}/${name}`, detail })
  const { destination } = output
  const needed = NEEDED[destination]
  if (output[needed] === undefined) add('required', needed, `destination ${destination} needs ${needed}`)
  for (const [name, destinations] of Object.entries(ONLY_FOR)) {
    if (output[name as keyof typeof ONLY_FOR] !== undefined && !destinations.includes(destination))
      add('unknown_field', name, `${name} does not belong to destination ${destination}`)
  }
  const compressions: readonly string[] = COMPRESSIONS_OF[destination] ?? []
  if (output.compression !== undefined && compressions.length && !compressions.includes(output.compression)) {
    const detail = `expected ${compressions.join(', ')} for ${destination}, got ${output.compression}`
    add('invalid', 'compression', detail)
  }
  if (output.key_columns !== undefined && output.mode !== 'upsert')
    add('unknown_field', 'key_columns', 'key_columns belongs to mode upsert')
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
