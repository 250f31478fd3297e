// `npm run bench`: a 2,000,000-row job with the 100-tree churn model, to Parquet and to a table, on the embedded servers.
// Prints rows/s from the start of the job to a readable result (median of the runs), and what each process cost.
// BENCH_PROFILE=dir writes a CPU profile of each role there. Other options by environment: BENCH_ROWS, BENCH_RUNS, BENCH_BATCH_SIZE, BENCH_PARALLELISM, BENCH_DESTINATIONS, BENCH_KEY_COLUMN (customer_id), SCORERS.
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

const ROWS = Number(process.env.BENCH_ROWS ?? 2_000_000)
const RUNS = Number(process.env.BENCH_RUNS ?? 3)
const CONFIG = {
  batch_size: Number(process.env.BENCH_BATCH_SIZE ?? 1000),
  parallelism: Number(process.env.BENCH_PARALLELISM ?? 4),
}
const DESTINATIONS = (process.env.BENCH_DESTINATIONS ?? 'parquet,table').split(',')
const QUERY = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'
const { BENCH_PROFILE, BENCH_KEY_COLUMN } = process.env
const FLAGS = [
  '--disable-warning=TimeoutNegativeWarning',
  ...(BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${BENCH_PROFILE}`] : []),
]
const repo = join(import.meta.dirname, '..')

interface Measured {
  destination: string
  seconds: number
  rowsPerSecond: number
  /** Bare scoring on one thread, just before: how fast the machine was at that moment. */
  limit: number
  /** CPU seconds of each role and server during the job. */
  cpu: Record<string, number>
}

async function bench(): Promise<void> {
  const dataDir = await temporaryDataDir('bench')
  const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
  const port = await freePort()
  const service = spawn(process.execPath, [...FLAGS, join(repo, 'src/main.ts'), 'all'], {
    env: {
      ...process.env,
      DATA_DIR: join(dataDir.path, 'service'),
      DATABASE_URL: postgres.url,
      KAFKA_BROKERS: '',
      KAFKA_PORT: String(await freePort()),
      PORT: String(port),
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const url = `http://127.0.0.1:${port}`
  try {
    await seedCustomers(postgres.url, ROWS)
    await ready(url)
    await call(
      url,
      'PUT',
      '/api/v1/models/churn?features=tenure,monthly_charges,total_charges',
      await readFile(join(repo, 'examples/churn/churn.onnx')),
    )
    const pids = [process.pid, service.pid as number]
    const measured: Measured[] = []
    // The first job warms up every process and is not counted.
    await run(url, 'parquet', 'warm-up', pids)
    for (let i = 0; i < RUNS; i++)
      for (const destination of DESTINATIONS) measured.push(await run(url, destination, String(i), pids))
    report(measured, await processCosts(pids))
  } finally {
    service.kill('SIGTERM')
    await once(service, 'exit')
    await postgres.stop()
    await dataDir.remove()
  }
}

async function run(url: string, destination: string, name: string, pids: number[]): Promise<Measured> {
  const output =
    destination === 'table'
      ? { destination, table_name: `predictions.bench_${name.replace('-', '_')}` }
      : { destination, path: `${destination}-${name}` }
  const limit = await bareScoring()
  const before = await processCosts(pids)
  const { job_id } = await call(url, 'POST', '/api/v1/inference/batch', {
    model_id: 'churn',
    input: { source: 'sql', query: QUERY, ...(BENCH_KEY_COLUMN ? { key_column: BENCH_KEY_COLUMN } : {}) },
    output: { ...output, mode: 'overwrite' },
    config: CONFIG,
  })
  const events = await fetch(`${url}/api/v1/inference/batch/${job_id}/events`)
  await events.text() // ends when the job does
  const job = await call(url, 'GET', `/api/v1/inference/batch/${job_id}`)
  if (job.status !== 'completed' || job.progress.written_rows !== ROWS)
    throw new Error(`job ${job_id}: ${JSON.stringify(job)}`)
  const after = await processCosts(pids)
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000
  const cpu = Object.fromEntries(
    Object.entries(after).map(([process, cost]) => [process, cost.cpuSeconds - (before[process]?.cpuSeconds ?? 0)]),
  )
  const share = (ROWS / seconds / limit).toFixed(2)
  console.log(
    `${destination} ${name}: ${seconds.toFixed(2)} s, ${thousands(ROWS / seconds)} rows/s, ${share} of bare scoring (${thousands(limit)})`,
  )
  return { destination, seconds, rowsPerSecond: ROWS / seconds, limit, cpu }
}

function report(measured: Measured[], costs: Awaited<ReturnType<typeof processCosts>>): void {
  console.log(
    `\n${ROWS.toLocaleString('en')} rows, 100 trees, batch_size ${CONFIG.batch_size}, parallelism ${CONFIG.parallelism}, ${process.env.SCORERS ?? 'default'} scorers`,
  )
  console.table(
    Object.fromEntries(
      DESTINATIONS.map((destination) => {
        const runs = measured.filter((one) => one.destination === destination)
        const cpu = Object.keys(costs).map((process) => [
          `${process} CPU s`,
          median(runs.map((one) => one.cpu[process] ?? 0)).toFixed(1),
        ])
        return [
          destination,
          {
            'rows/s': Math.round(median(runs.map((one) => one.rowsPerSecond))),
            'of bare scoring': median(runs.map((one) => one.rowsPerSecond / one.limit)).toFixed(2),
            seconds: median(runs.map((one) => one.seconds)).toFixed(2),
            ...Object.fromEntries(cpu),
          },
        ]
      }),
    ),
  )
  console.table(
    Object.fromEntries(
      Object.entries(costs).map(([process, { peakMegabytes }]) => [
        process,
        { 'peak resident MB': Math.round(peakMegabytes) },
      ]),
    ),
  )
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

async function ready(url: string): Promise<void> {
  while (!(await fetch(`${url}/readyz`).catch(() => null))?.ok) await new Promise((resume) => setTimeout(resume, 100))
}

interface Answer {
  job_id: string
  status: string
  started_at: string
  finished_at: string
  progress: { written_rows: number }
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

await bench()
