// `npm run bench:destinations`: the same 2,000,000-row job to each destination, beside the destination's physical limit and
// beside a sink that throws everything away, measured in turn within one run. BENCH_ROWS and BENCH_RUNS as in throughput.ts.
import { pathToFileURL } from 'node:url'
import { copyAlone, encoderAlone, producerAlone } from './limits.ts'
import { median, startBenchService, thousands } from './service.ts'

const ROWS = Number(process.env.BENCH_ROWS ?? 2_000_000)
const RUNS = Number(process.env.BENCH_RUNS ?? 3)
const NULL_SINK = pathToFileURL(`${import.meta.dirname}/null-sink.ts`).href
const FLAGS = [`--import=${NULL_SINK}`]

/** A job's rate, the destination's limit and the null sink's rate, one after the other in the same minute. */
interface Round {
  readonly rowsPerSecond: number
  readonly limit: number
  readonly withoutSink: number
  /** CPU seconds of the job beyond those of the one without a sink: what the destination costs the sink, Kafka and Postgres. */
  readonly cpu: Readonly<Record<'sink' | 'kafka' | 'postgres', number>>
}

async function bench(): Promise<void> {
  const service = await startBenchService({
    rows: ROWS,
    config: { batch_size: 1000, parallelism: 4 },
    flags: FLAGS,
    environment: { SINK_DESTINATIONS: 'table,files,kafka' },
  })
  const destinations = {
    table: {
      output: (run: string) => ({ destination: 'table', table_name: `predictions.bench_${run}` }),
      limit: () => copyAlone(service.databaseUrl, ROWS),
    },
    parquet: {
      output: (run: string) => ({ destination: 'parquet', path: `parquet-${run}` }),
      limit: () => encoderAlone('parquet', ROWS),
    },
    csv: {
      output: (run: string) => ({ destination: 'csv', path: `csv-${run}` }),
      limit: () => encoderAlone('csv', ROWS),
    },
    kafka: {
      output: (run: string) => ({ destination: 'kafka', topic: `bench.${run}`, format: 'json' }),
      limit: () => producerAlone(service.brokers, ROWS, JSON_BYTES),
    },
  }
  const nothing = (run: string) => ({ destination: 'parquet', path: `null-${run}` })
  const input = { key_column: 'customer_id' }
  const rounds = new Map<string, Round[]>()
  try {
    await service.run('warm-up', nothing('warm-up'))
    for (let i = 0; i < RUNS; i++) {
      for (const [name, { output, limit }] of Object.entries(destinations)) {
        const more = name === 'kafka' ? input : {}
        const job = await service.run(`${name} ${i}`, output(String(i)), more)
        const without = await service.run(`no sink ${i}`, nothing(`${name}-${i}`), more)
        const extra = (process: string) => (job.cpu[process] ?? 0) - (without.cpu[process] ?? 0)
        const round: Round = {
          rowsPerSecond: job.rowsPerSecond,
          limit: await limit(),
          withoutSink: without.rowsPerSecond,
          cpu: { sink: extra('sink'), kafka: extra('kafka'), postgres: extra('postgres') },
        }
        rounds.set(name, [...(rounds.get(name) ?? []), round])
        console.log(`${name} ${i}: the destination alone ${thousands(round.limit)} rows/s`)
      }
    }
  } finally {
    await service.stop()
  }
  console.table(Object.fromEntries([...rounds].map(([name, each]) => [name, summary(each)])))
}

/** A prediction of the churn model as JSON. */
const JSON_BYTES = '{"customer_id":1234567,"label":0,"probabilities_0":0.8123456,"probabilities_1":0.1876544}'.length

function summary(rounds: readonly Round[]): Record<string, string> {
  const of = (figure: (round: Round) => number) => median(rounds.map(figure))
  return {
    'rows/s': thousands(of(({ rowsPerSecond }) => rowsPerSecond)),
    'destination alone': thousands(of(({ limit }) => limit)),
    'of the destination alone': of(({ rowsPerSecond, limit }) => rowsPerSecond / limit).toFixed(2),
    'of a job without sink': of(({ rowsPerSecond, withoutSink }) => rowsPerSecond / withoutSink).toFixed(2),
    'CPU s more: sink': of(({ cpu }) => cpu.sink).toFixed(1),
    'Kafka ': of(({ cpu }) => cpu.kafka).toFixed(1),
    'Postgres ': of(({ cpu }) => cpu.postgres).toFixed(1),
  }
}

await bench()
