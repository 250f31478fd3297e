// `npm run bench:latency`: how long a small job takes on a warm service, from the request until a client hears of its end on
// the event stream: 1,000 rows through the churn model, one job after the other, to a table and to Parquet. Prints median
// and p99 of the whole, and the median of each step. Options by environment: BENCH_JOBS, BENCH_ROWS; BENCH_BESIDE=rows has
// a job with so many rows run all the while; BENCH_PROFILE=dir writes a CPU profile of each role there.
import { Kafka, logLevel } from 'kafkajs'
import { jobCodec } from '../topics/job-codec.ts'
import { type JobStatus, jobsTopic } from '../topics/jobs.ts'
import { type BenchService, quantile, startBenchService } from './service.ts'

const JOBS = Number(process.env.BENCH_JOBS ?? 300)
const ROWS = Number(process.env.BENCH_ROWS ?? 1_000)
const BESIDE = Number(process.env.BENCH_BESIDE ?? 0)
const WARM_UP = 30
const CONFIG = { batch_size: 1000, parallelism: 4 }
const { BENCH_PROFILE } = process.env
const FLAGS = BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${BENCH_PROFILE}`] : []
const OUTPUTS = {
  table: { destination: 'table', table_name: 'predictions.latency', mode: 'overwrite' },
  parquet: { destination: 'parquet', path: 'latency', mode: 'overwrite' },
}

/** When each state of a job was written to jobs.v1, in ms since 1970. */
type Written = Map<JobStatus, number>

const STEPS: readonly (readonly [from: JobStatus, to: JobStatus, what: string])[] = [
  ['submitted', 'preparing', 'admit'],
  ['preparing', 'running', 'prepare the output'],
  ['running', 'completing', 'read, score, write'],
  ['completing', 'completed', 'make visible'],
]

async function bench(): Promise<void> {
  const service = await startBenchService({ rows: ROWS, config: CONFIG, flags: FLAGS })
  const states = await followStates(service)
  try {
    const table: Record<string, Record<string, string>> = {}
    const large = BESIDE > 0 ? keepRunning(service) : null
    for (const [name, output] of Object.entries(OUTPUTS)) {
      for (let i = 0; i < WARM_UP; i++) await service.time(output)
      const runs = []
      for (let i = 0; i < JOBS; i++) runs.push(await service.time(output))
      table[name] = figures(runs, states.written)
    }
    await large?.stop()
    const beside = large ? `, beside ${large.jobs} jobs of ${BESIDE.toLocaleString('en')} rows` : ''
    console.log(`\n${ROWS} rows, ${JOBS} jobs one after the other for each destination${beside}; milliseconds`)
    console.table(table)
  } finally {
    await states.stop()
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

function figures(runs: readonly Timed[], written: ReadonlyMap<string, Written>): Record<string, string> {
  const total = runs.map(({ from, to }) => to - from)
  const step = (of: (run: Timed, times: Written) => number): string => {
    const values = runs.flatMap((run) => {
      const times = written.get(run.jobId)
      return times ? [of(run, times)] : []
    })
    return quantile(values, 0.5).toFixed(0)
  }
  return {
    median: quantile(total, 0.5).toFixed(0),
    p99: quantile(total, 0.99).toFixed(0),
    'check and submit': step(({ from }, times) => (times.get('submitted') ?? 0) - from),
    ...Object.fromEntries(
      STEPS.map(([from, to, what]) => [what, step((_, times) => (times.get(to) ?? 0) - (times.get(from) ?? 0))]),
    ),
    'tell the client': step(({ to }, times) => to - (times.get('completed') ?? 0)),
  }
}

type Timed = Awaited<ReturnType<BenchService['time']>>

/** Reads the times of the records on jobs.v1, beside the service. */
async function followStates({ brokers }: BenchService): Promise<{
  written: ReadonlyMap<string, Written>
  stop(): Promise<void>
}> {
  const written = new Map<string, Written>()
  const kafka = new Kafka({ clientId: 'bench', brokers: [brokers], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: 'bench-states' })
  await consumer.connect()
  await consumer.subscribe({ topics: [`inference.${jobsTopic.name}`], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message: { value, timestamp } }) => {
      if (!value) return
      const { job_id, status } = jobCodec.decode(value)
      const times = written.get(job_id) ?? new Map<JobStatus, number>()
      if (!times.has(status)) times.set(status, Number(timestamp))
      written.set(job_id, times)
    },
  })
  return { written, stop: () => consumer.disconnect() }
}

await bench()
