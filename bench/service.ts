// The service that a bench measures: all roles and both servers as real processes, `customers` filled, the churn model
// registered; and one measured job after the other.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDataDir } from '../embedded/data-dir.ts'
import { freePort } from '../embedded/ports.ts'
import { startPostgres } from '../embedded/postgres.ts'
import { seedCustomers } from '../examples/churn/seed.ts'
import { bareScoring } from './bare-scoring.ts'
import { processCosts } from './process-costs.ts'

const repo = join(import.meta.dirname, '..')
const QUERY = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'

export interface BenchService {
  /** Of the API. */
  readonly url: string
  readonly databaseUrl: string
  readonly brokers: string
  /** This process and the service, for `processCosts`. */
  readonly pids: readonly number[]
  /** Runs a job over all rows to its end. Throws when it does not complete with every row. */
  run(label: string, output: object, input?: object): Promise<Measured>
  /** Submits a job over all rows, and gives its id. */
  submit(output: object): Promise<string>
  /** Waits for the job's end. Throws when it does not complete with every row. */
  finished(jobId: string): Promise<Answer>
  /** Runs a job over all rows: from the request until its end is heard of, in ms since 1970. Throws when it does not complete. */
  time(output: object): Promise<{ readonly jobId: string; readonly from: number; readonly to: number }>
  stop(): Promise<void>
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
  const dataDir = await temporaryDataDir('bench')
  const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
  const [port, kafkaPort] = [await freePort(), await freePort()]
  const service = spawn(process.execPath, [...flags, join(repo, 'src/main.ts'), 'all'], {
    env: {
      ...process.env,
      DATA_DIR: join(dataDir.path, 'service'),
      DATABASE_URL: postgres.url,
      KAFKA_BROKERS: '',
      KAFKA_PORT: String(kafkaPort),
      PORT: String(port),
      LOG_LEVEL: 'warn',
      ...environment,
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const url = `http://127.0.0.1:${port}`
  const pids = [process.pid, service.pid as number]

  async function stop(): Promise<void> {
    service.kill('SIGTERM')
    await once(service, 'exit')
    await postgres.stop()
    await dataDir.remove()
  }

  async function submit(output: object, input: object = {}): Promise<string> {
    const { job_id } = await call(url, 'POST', '/api/v1/inference/batch', {
      model_id: 'churn',
      input: { source: 'sql', query: QUERY, ...input },
      output,
      config,
    })
    return job_id
  }

  /** Waits for the end of the event stream. */
  async function ended(jobId: string): Promise<void> {
    const events = await fetch(`${url}/api/v1/inference/batch/${jobId}/events`)
    await events.text()
  }

  /** Submits, and waits for the end. */
  async function toEnd(output: object, input: object): Promise<string> {
    const jobId = await submit(output, input)
    await ended(jobId)
    return jobId
  }

  async function finished(jobId: string): Promise<Answer> {
    await ended(jobId)
    return completed(jobId)
  }

  async function completed(jobId: string): Promise<Answer> {
    const job = await call(url, 'GET', `/api/v1/inference/batch/${jobId}`)
    if (job.status !== 'completed' || job.progress.written_rows !== rows)
      throw new Error(`job ${jobId}: ${JSON.stringify(job)}`)
    return job
  }

  async function time(output: object): Promise<{ jobId: string; from: number; to: number }> {
    const from = performance.timeOrigin + performance.now()
    const jobId = await toEnd(output, {})
    const to = performance.timeOrigin + performance.now()
    await completed(jobId)
    return { jobId, from, to }
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
    await seedCustomers(postgres.url, rows)
    await ready(url)
    const model = await readFile(join(repo, 'examples/churn/churn.onnx'))
    await call(url, 'PUT', '/api/v1/models/churn?features=tenure,monthly_charges,total_charges', model)
  } catch (error) {
    await stop()
    throw error
  }
  const brokers = `127.0.0.1:${kafkaPort}`
  return {
    url,
    databaseUrl: postgres.url,
    brokers,
    pids,
    submit: (output) => submit(output),
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

async function ready(url: string): Promise<void> {
  while (!(await fetch(`${url}/readyz`).catch(() => null))?.ok) await new Promise((resume) => setTimeout(resume, 100))
}

export interface Answer {
  job_id: string
  status: string
  started_at: string
  finished_at: string
  progress: { written_rows: number }
  history: { status: string; at: string }[]
}

async function call(url: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    headers: body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
    ...(body === undefined ? {} : { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}
