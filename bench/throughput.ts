// `npm run bench`: a 2,000,000-row job with the 100-tree churn model, to Parquet and to a table, on the embedded servers.
// Prints rows/s from the start of the job to a readable result (median of the runs), and what each process cost.
// BENCH_PROFILE=dir writes a CPU profile of each role there. Other options by environment: BENCH_ROWS, BENCH_RUNS, BENCH_BATCH_SIZE, BENCH_PARALLELISM, BENCH_DESTINATIONS, BENCH_KEY_COLUMN (customer_id), SCORERS,
// BENCH_FLAGS (further flags of Node for every role, e.g. --trace-gc).
import { processCosts } from './process-costs.ts'
import { type Measured, median, startBenchService } from './service.ts'

const ROWS = Number(process.env.BENCH_ROWS ?? 2_000_000)
const RUNS = Number(process.env.BENCH_RUNS ?? 3)
const CONFIG = {
  batch_size: Number(process.env.BENCH_BATCH_SIZE ?? 1000),
  parallelism: Number(process.env.BENCH_PARALLELISM ?? 4),
}
const DESTINATIONS = (process.env.BENCH_DESTINATIONS ?? 'parquet,table').split(',')
const { BENCH_PROFILE, BENCH_KEY_COLUMN, BENCH_FLAGS = '' } = process.env
const INPUT = BENCH_KEY_COLUMN ? { key_column: BENCH_KEY_COLUMN } : {}
const FLAGS = [
  ...BENCH_FLAGS.split(' ').filter((flag) => flag !== ''),
  ...(BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${BENCH_PROFILE}`] : []),
]

async function bench(): Promise<void> {
  const service = await startBenchService({ rows: ROWS, config: CONFIG, flags: FLAGS })
  try {
    const measured: (Measured & { readonly destination: string })[] = []
    // The first job warms up every process and is not counted.
    await service.run('parquet warm-up', outputOf('parquet', 'warm-up'), INPUT)
    for (let i = 0; i < RUNS; i++)
      for (const destination of DESTINATIONS) {
        const run = await service.run(`${destination} ${i}`, outputOf(destination, String(i)), INPUT)
        measured.push({ destination, ...run })
      }
    report(measured, await processCosts(service.pids))
  } finally {
    await service.stop()
  }
}

function outputOf(destination: string, name: string): object {
  return destination === 'table'
    ? { destination, table_name: `predictions.bench_${name}`, mode: 'overwrite' }
    : { destination, path: `${destination}-${name}`, mode: 'overwrite' }
}

function report(
  measured: readonly (Measured & { readonly destination: string })[],
  costs: Awaited<ReturnType<typeof processCosts>>,
): void {
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
            'of bare scoring': median(runs.map((one) => one.rowsPerSecond / one.bare)).toFixed(2),
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

await bench()
