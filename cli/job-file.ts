// A submission's body out of a JSON or YAML file, standard input and flags; flags win.
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { CliError, EXIT } from './client.ts'

export interface JobFlags {
  readonly model?: string
  readonly query?: string
  readonly connection?: string
  readonly key?: string
  readonly table?: string
  readonly parquet?: string
  readonly csv?: string
  readonly topic?: string
  readonly mode?: string
  readonly columns?: readonly string[]
  readonly batchSize?: number
  readonly parallelism?: number
  readonly timeout?: number
  readonly retries?: number
  readonly maxFailedRows?: number
  readonly accelerator?: string
}

type Body = Record<string, unknown>

/** Throws `CliError` when the file is not there or holds no object. What the body means is the service's to check. */
export async function jobBody(file: string | undefined, flags: JobFlags): Promise<Body> {
  const body = file === undefined ? {} : await bodyOf(file)
  const query = flags.query?.startsWith('@') ? await textOf(flags.query.slice(1)) : flags.query
  const input = present({ query, connection: flags.connection, key_column: flags.key })
  const output = outputOf(flags)
  const config = present({
    batch_size: flags.batchSize,
    parallelism: flags.parallelism,
    timeout_minutes: flags.timeout,
    retry_count: flags.retries,
    max_failed_rows: flags.maxFailedRows,
    accelerator: flags.accelerator,
  })
  return {
    ...body,
    ...(flags.model === undefined ? {} : { model_id: flags.model }),
    ...(input ? { input: { source: 'sql', ...object(body.input), ...input } } : {}),
    ...(output ? { output: { ...object(body.output), ...output } } : {}),
    ...(config ? { config: { ...object(body.config), ...config } } : {}),
  }
}

function outputOf({ table, parquet, csv, topic, mode, columns }: JobFlags): Body | undefined {
  const places = [
    ...(table === undefined ? [] : [{ destination: 'table', table_name: table }]),
    ...(parquet === undefined ? [] : [{ destination: 'parquet', path: parquet }]),
    ...(csv === undefined ? [] : [{ destination: 'csv', path: csv }]),
    ...(topic === undefined ? [] : [{ destination: 'kafka', topic }]),
  ]
  if (places.length > 1)
    throw new CliError(
      EXIT.usage,
      'expected one of --table, --parquet, --csv and --topic; several outputs go into a file, as `outputs`',
    )
  return present({ ...places[0], mode, columns })
}

async function bodyOf(file: string): Promise<Body> {
  const text = await textOf(file)
  let body: unknown
  try {
    // JSON is YAML too.
    body = parse(text)
  } catch (error) {
    throw new CliError(EXIT.usage, `${file}: expected JSON or YAML: ${(error as Error).message}`)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new CliError(EXIT.usage, `${file}: expected an object, the body of a submission`)
  return body as Body
}

/** A file's text; `-` is standard input. */
async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file === '-' ? '/dev/stdin' : file, 'utf8')
  } catch (error) {
    throw new CliError(EXIT.usage, `cannot read ${file}: ${(error as Error).message}`)
  }
}

/** Without what is not given; undefined if that is everything. */
function present(fields: Body): Body | undefined {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  return given.length ? Object.fromEntries(given) : undefined
}

function object(value: unknown): Body {
  return typeof value === 'object' && value !== null ? (value as Body) : {}
}
