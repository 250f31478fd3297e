// The service that a bench measures: all roles and both servers as real processes, `customers` filled, the churn model
// registered; and one measured job after the other.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seedCustomers } from '../examples/churn/seed.ts'
import { bareScoring } from './bare-scoring.ts'
import { processCosts } from './process-costs.ts'
import { type Answer, startWholeService, type WholeService, whenReady } from './whole-service.ts'

const repo = join(import.meta.dirname, '..')
const QUERY = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'

export interface BenchService extends Pick<WholeService, 'url' | 'databaseUrl' | 'brokers' | 'pids' | 'stop'> {
  /** Runs a job over all rows to its end. Throws when it does not complete with every row. */
  run(label: string, output: object, input?: object): Promise<Measured>
  /** Submits a job over all rows, or over those of another query, and gives its id. */
  submit(output: object, query?: string): Promise<string>
  /** Waits for the job's end. Throws when it does not complete with all these rows, by default those of the table. */
  finished(jobId: string, all?: number): Promise<Answer>
  /** Runs a job over all rows: from the request until its end is heard of, in ms since 1970. Throws when it does not complete. */
  time(output: object): Promise<Timed>
}

export interface Timed {
  /** As it ended. */
  readonly job: Answer
  readonly from: number
  readonly to: number
}

export interface Measured {
  readonly seconds: number
  readonly rowsPerSecond: number
  /** Bare scoring on one thread, just before: how fast the machine was at that moment. */
  readonly bare: number
  /** CPU seconds of each role and server during the job. */
  readonly cpu: Readonly<Record<string, number>>
}

export interface BenchOptions {
  readonly rows: number
  readonly config: { readonly batch_size: number; readonly parallelism: number }
  /** Flags for Node, of every role. */
  readonly flags: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

export async function startBenchService({ rows, config, flags, environment }: BenchOptions): Promise<BenchService> {
  const service = await startWholeService({ flags, ...(environment && { environment }) })
  const { databaseUrl, brokers, pids, call, stop } = service

  async function submit(output: object, input: object = {}): Promise<string> {
    return service.submit({ model_id: 'churn', input: { source: 'sql', query: QUERY, ...input }, output, config })
  }

  /** Submits, and waits for the end. */
  async function toEnd(output: object, input: object): Promise<string> {
    const jobId = await submit(output, input)
    await service.ended(jobId)
    return jobId
  }

  async function finished(jobId: string, all?: number): Promise<Answer> {
    await service.ended(jobId)
    return completed(jobId, all)
  }

  async function completed(jobId: string, all = rows): Promise<Answer> {
    const job = await call('GET', `/api/v1/inference/batch/${jobId}`)
    if (job.status !== 'completed' || job.progress.written_rows !== all)
      throw new Error(`job ${jobId}: ${JSON.stringify(job)}`)
    return job
  }

  async function time(output: object): Promise<Timed> {
    const from = performance.timeOrigin + performance.now()
    const jobId = await toEnd(output, {})
    const to = performance.timeOrigin + performance.now()
    return { job: await completed(jobId), from, to }
  }

  async function run(label: string, output: object, input: object = {}): Promise<Measured> {
    const bare = await bareScoring()
    const before = await processCosts(pids)
    const job = await completed(await toEnd(output, input))
    const after = await processCosts(pids)
    const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000
    const cpu = Object.fromEntries(
      Object.entries(after).map(([process, cost]) => [process, cost.cpuSeconds - (before[process]?.cpuSeconds ?? 0)]),
    )
    const share = (rows / seconds / bare).toFixed(2)
    console.log(
      `${label}: ${seconds.toFixed(2)} s, ${thousands(rows / seconds)} rows/s, ${share} of bare scoring (${thousands(bare)})`,
    )
    return { seconds, rowsPerSecond: rows / seconds, bare, cpu }
  }

  try {
    await seedCustomers(databaseUrl, rows)
    await whenReady(service)
    const model = await readFile(join(repo, 'examples/churn/churn.onnx'))
    await call('PUT', '/api/v1/models/churn?features=tenure,monthly_charges,total_charges', model)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: service.url,
    databaseUrl,
    brokers,
    pids,
    submit: (output, query) => submit(output, query === undefined ? {} : { query }),
    finished,
    run,
    time,
    stop,
  }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en')
}
