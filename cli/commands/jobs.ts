// scoreline submit, validate, status, list, watch, cancel.
import { type Command, InvalidArgumentError } from 'commander'
import type { JobStatusBody } from '../../src/job/job-status.ts'
import { JOBS } from '../client.ts'
import { type CliContext, contextOf } from '../context.ts'
import { examples } from '../examples.ts'
import { exitCodeOf, followJob } from '../follow.ts'
import { type JobFlags, jobBody } from '../job-file.ts'
import { duration, jobText, print, printJson, table, target } from '../show.ts'

interface Submitted {
  readonly job_id?: string
  readonly schedule_id?: string
  readonly status?: string
  readonly estimated_duration_minutes?: number
  readonly input_row_count?: number
  readonly next_fire_at?: string
}

interface Valid {
  readonly input_row_count: number
  readonly estimated_duration_minutes: number
  readonly columns: readonly (readonly { name: string; type: string }[])[]
  readonly sample: readonly Readonly<Record<string, unknown>>[] | null
  readonly sample_errors: readonly string[]
}

interface Page {
  readonly data: readonly JobStatusBody[]
  readonly next: string | null
}

export function jobCommands(program: Command): void {
  withJobFlags(program.command('submit [file]'))
    .description('submit a job, from a JSON or YAML file (- for standard input), flags, or both')
    .option('-w, --wait', 'follow it to its end; exits 0 completed, 1 failed, 3 cancelled')
    .option('--idempotency-key <text>', 'the same key and job give the same job, however often it is submitted')
    .addHelpText(
      'after',
      examples(
        "scoreline submit --model churn --query 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers' --table predictions.churn --wait",
        'scoreline submit nightly.yaml --idempotency-key 2026-11-25',
        'scoreline submit job.json --query @query.sql --parquet s3://bucket/results/churn/',
      ),
    )
    .action(async (file: string | undefined, flags: SubmitFlags, command: Command) => {
      await submit(contextOf(command), file, flags)
    })

  withJobFlags(program.command('validate [file]'))
    .description('check a job completely without submitting it, and score three sample rows')
    .addHelpText(
      'after',
      examples('scoreline validate nightly.yaml', 'scoreline validate job.json --query @query.sql --json'),
    )
    .action(async (file: string | undefined, flags: JobFlags, command: Command) => {
      const { client, json } = contextOf(command)
      const valid = await client.json<Valid>('POST', `${JOBS}?validate_only=true`, await jobBody(file, flags))
      if (json) printJson(valid)
      else print(validText(valid))
    })

  program
    .command('status <job_id>')
    .description('show a job')
    .addHelpText('after', examples('scoreline status batch-…', 'scoreline status batch-… --json | jq .progress'))
    .action(async (jobId: string, _flags: object, command: Command) => {
      const { client, json } = contextOf(command)
      const job = await client.json<JobStatusBody>('GET', jobPath(jobId))
      if (json) printJson(job)
      else print(jobText(job))
    })

  program
    .command('list')
    .description('list jobs, newest first')
    .option('-s, --status <status>', 'only jobs in this state, or in these: failed,cancelled')
    .option('-n, --limit <number>', 'how many', wholeNumber, 20)
    .addHelpText('after', examples('scoreline list', 'scoreline list --status running,failed --limit 50'))
    .action(async ({ status, limit }: { status?: string; limit: number }, command: Command) => {
      const { client, json } = contextOf(command)
      const search = new URLSearchParams({ limit: String(limit), ...(status === undefined ? {} : { status }) })
      const page = await client.json<Page>('GET', `${JOBS}?${search}`)
      if (json) printJson(page)
      else print(page.data.length ? listText(page.data) : 'no jobs; `scoreline submit --help` shows how to make one')
    })

  program
    .command('watch <job_id>')
    .description('follow a job to its end; exits 0 completed, 1 failed, 3 cancelled')
    .addHelpText('after', examples('scoreline watch batch-… && echo it is there'))
    .action(async (jobId: string, _flags: object, command: Command) => {
      await watch(contextOf(command), jobId)
    })

  program
    .command('cancel <job_id>')
    .description('cancel a job')
    .addHelpText('after', examples('scoreline cancel batch-…'))
    .action(async (jobId: string, _flags: object, command: Command) => {
      const { client, json } = contextOf(command)
      const job = await client.json<JobStatusBody>('POST', `${jobPath(jobId)}/cancel`)
      if (json) printJson(job)
      else print(`${job.job_id} is ${job.status}`)
    })
}

export function jobPath(jobId: string): string {
  return `${JOBS}/${encodeURIComponent(jobId)}`
}

interface SubmitFlags extends JobFlags {
  readonly wait?: boolean
  readonly idempotencyKey?: string
}

async function submit(context: CliContext, file: string | undefined, flags: SubmitFlags): Promise<void> {
  const { client, json } = context
  const { wait, idempotencyKey } = flags
  const headers = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }
  const submitted = await client.json<Submitted>('POST', JOBS, await jobBody(file, flags), headers)
  if (wait && submitted.job_id !== undefined) {
    if (!json) print(submitted.job_id)
    return watch(context, submitted.job_id)
  }
  if (json) printJson(submitted)
  else print(submitted.job_id ?? `${submitted.schedule_id}, fires next at ${submitted.next_fire_at ?? 'no time'}`)
}

/** Progress goes where it does not disturb JSON. */
async function watch({ client, json }: CliContext, jobId: string): Promise<void> {
  const job = await followJob(client, jobId, json ? process.stderr : process.stdout)
  if (json) printJson(job)
  else print(jobText(job))
  process.exitCode = exitCodeOf(job)
}

function withJobFlags(command: Command): Command {
  return command
    .option('-m, --model <id>', 'model, or model@version')
    .option('-q, --query <sql>', 'the query, or @file')
    .option('--connection <name>', 'database that it runs on')
    .option('--key <column>', 'a unique column: the read can then be resumed')
    .option('--table <name>', 'write the predictions to this table')
    .option('--parquet <path>', 'write Parquet files to this directory or s3:// prefix')
    .option('--csv <path>', 'write CSV files to this directory or s3:// prefix')
    .option('--topic <name>', 'write records to this Kafka topic')
    .option('--mode <mode>', 'overwrite, append, upsert or error')
    .option('--columns <names...>', 'columns of the result')
    .option('--batch-size <rows>', 'rows of a chunk', wholeNumber)
    .option('--parallelism <lanes>', 'lanes that the rows are spread over', wholeNumber)
    .option('--timeout <minutes>', 'fail it when it takes longer', positive)
    .option('--retries <number>', 'further attempts', wholeNumber)
    .option('--max-failed-rows <number>', 'rows that may fail before the job does', wholeNumber)
    .option('--accelerator <kind>', 'cpu, gpu or auto')
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0')
  return value
}

function listText(jobs: readonly JobStatusBody[]): string {
  return table(
    ['job', 'status', 'model', 'output', 'rows', '%', 'submitted'],
    jobs.map(({ job_id, status, model_id, outputs, progress, submitted_at }) => [
      job_id,
      status,
      model_id,
      outputs.map(({ output }) => target(output)).join(', '),
      progress.total_rows,
      progress.percentage,
      submitted_at,
    ]),
  )
}

function validText({ input_row_count, estimated_duration_minutes, columns, sample, sample_errors }: Valid): string {
  const names = Object.keys(sample?.[0] ?? {})
  return [
    `valid: ${input_row_count.toLocaleString('en')} rows, about ${duration(estimated_duration_minutes * 60_000)}`,
    ...columns.map((each) => `columns: ${each.map(({ name, type }) => `${name} ${type}`).join(', ')}`),
    ...(sample?.length
      ? [
          '',
          table(
            names,
            sample.map((row) => names.map((name) => cell(row[name]))),
          ),
        ]
      : []),
    ...sample_errors.map((reason) => `a row of the sample cannot be scored: ${reason}`),
  ].join('\n')
}

function cell(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
