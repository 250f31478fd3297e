// `npm run bench:latency`: how long a small job takes on a warm service, from the request until a client hears of its end on
// the event stream: 1,000 rows through the churn model, one job after the other, to a table and to Parquet. Prints median
// and p99 of the whole, and the median of each step. Options by environment: BENCH_JOBS, BENCH_ROWS; BENCH_APART, the milliseconds from
// the end of one to the next; BENCH_BESIDE=rows has a job with so many rows run all the while; BENCH_PROFILE=dir writes a CPU profile of
// each role there.
import { setTimeout as pause } from 'node:timers/promises'
import type { JobStatus } from '../topics/jobs.ts'
import { type BenchService, quantile, startBenchService, type Timed } from './service.ts'

const JOBS = Number(process.env.BENCH_JOBS ?? 300)
const ROWS = Number(process.env.BENCH_ROWS ?? 1_000)
const APART = Number(process.env.BENCH_APART ?? 0)
const BESIDE = Number(process.env.BENCH_BESIDE ?? 0)
const WARM_UP = 30
const CONFIG = { batch_size: 1000, parallelism: 4 }
const { BENCH_PROFILE } = process.env
const FLAGS = BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${BENCH_PROFILE}`] : []
const OUTPUTS = {
  table: { destination: 'table', table_name: 'predictions.latency', mode: 'overwrite' },
  parquet: { destination: 'parquet', path: 'latency', mode: 'overwrite' },
}

const STEPS: readonly (readonly [from: JobStatus, to: JobStatus, what: string])[] = [
  ['submitted', 'preparing', 'admit'],
  ['preparing', 'running', 'prepare the output'],
  ['running', 'completing', 'read, score, write'],
  ['completing', 'completed', 'make visible'],
]

async function bench(): Promise<void> {
  const service = await startBenchService({ rows: ROWS, config: CONFIG, flags: FLAGS })
  try {
    const table: Record<string, Record<string, string>> = {}
    const large = BESIDE > 0 ? keepRunning(service) : null
    for (const [name, output] of Object.entries(OUTPUTS)) {
      for (let i = 0; i < WARM_UP; i++) await service.time(output)
      const runs = []
      for (let i = 0; i < JOBS; i++) {
        runs.push(await service.time(output))
        await pause(APART)
      }
      table[name] = figures(runs)
    }
    await large?.stop()
    const beside = large ? `, beside ${large.jobs} jobs of ${BESIDE.toLocaleString('en')} rows` : ''
    const apart = `${JOBS} jobs one after the other, ${APART} ms apart, for each destination`
    console.log(`\n${ROWS} rows, ${apart}${beside}; milliseconds`)
    console.table(table)
  } finally {
    await service.stop()
  }
}

/** Has a large job to Parquet run at any time until it is stopped, one after the other. */
function keepRunning(service: BenchService): { readonly jobs: number; stop(): Promise<void> } {
  const times = Math.ceil(BESIDE / ROWS)
  const query = `SELECT c.customer_id, c.tenure, c.monthly_charges, c.total_charges FROM customers c, generate_series(1, ${times})`
  const state = { jobs: 0, stopped: false }
  const done = (async () => {
    while (!state.stopped) {
      const jobId = await service.submit({ destination: 'parquet', path: 'beside', mode: 'overwrite' }, query)
      state.jobs++
      await service.finished(jobId, times * ROWS)
    }
  })()
  return {
    get jobs() {
      return state.jobs
    },
    stop: async () => {
      state.stopped = true
      await done
    },
  }
}

function figures(runs: readonly Timed[]): Record<string, string> {
  const total = runs.map(({ from, to }) => to - from)
  const step = (of: (run: Timed) => number): string => quantile(runs.map(of), 0.5).toFixed(0)
  return {
    median: quantile(total, 0.5).toFixed(0),
    p99: quantile(total, 0.99).toFixed(0),
    'check and submit': step((run) => cameTo(run, 'submitted') - run.from),
    ...Object.fromEntries(STEPS.map(([from, to, what]) => [what, step((run) => cameTo(run, to) - cameTo(run, from))])),
    'tell the client': step((run) => run.to - cameTo(run, 'completed')),
  }
}

/** When the controller decided on a state, in ms since 1970. */
function cameTo({ job }: Timed, status: JobStatus): number {
  const moments: readonly { status: string; at: string }[] = job.history
  return Date.parse(moments.find((moment) => moment.status === status)?.at ?? job.submitted_at)
}

await bench()
