// `npm run bench:measuring`: what it costs that workers measure what the dashboard shows, and that somebody looks. The same job
// again and again in the same warm processes: without the heartbeats' figures, with them, and with a client that asks what the
// page of the job asks. The three take turns, so that each meets the machine as it is at the moment. Prints rows/s and CPU seconds
// of reader, scorer and sink as medians, and how the second and third compare with the first of the same round.
// Options by environment: BENCH_ROWS, BENCH_RUNS, BENCH_BATCH_SIZE.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Activity } from '../src/kafka/activity.ts'
import { type BenchService, type Measured, median, quantile, startBenchService, thousands } from './service.ts'

const ROWS = Number(process.env.BENCH_ROWS ?? 2_000_000)
const RUNS = Number(process.env.BENCH_RUNS ?? 9)
const CONFIG = { batch_size: Number(process.env.BENCH_BATCH_SIZE ?? 1000), parallelism: 4 }
const OUTPUT = { destination: 'parquet', path: 'measuring', mode: 'overwrite' }
const KINDS = ['without', 'with', 'watched'] as const
type Kind = (typeof KINDS)[number]
/** Longer than a role takes to notice the file, and than a heartbeat's time. */
const SETTLE_MS = 2_500

const folder = mkdtempSync(join(tmpdir(), 'scoreline-measuring-'))
const off = join(folder, 'off')

async function bench(): Promise<void> {
  const service = await startBenchService({
    rows: ROWS,
    config: CONFIG,
    flags: [`--import=${pathToFileURL(join(import.meta.dirname, 'unmeasured.ts')).href}`],
    environment: { BENCH_UNMEASURED: off },
  })
  const measured: Record<Kind, Measured[]> = { without: [], with: [], watched: [] }
  try {
    await service.run('warm-up', OUTPUT)
    for (let i = 0; i < RUNS; i++)
      for (let turn = 0; turn < KINDS.length; turn++) {
        const kind = KINDS[(i + turn) % KINDS.length] as Kind
        measured[kind].push(await one(service, kind))
      }
  } finally {
    await service.stop()
    rmSync(folder, { recursive: true })
  }
  report(measured)
}

async function one(service: BenchService, kind: Kind): Promise<Measured> {
  if (kind === 'without') writeFileSync(off, '')
  else rmSync(off, { force: true })
  await sleep(SETTLE_MS)
  const stop = new AbortController()
  const watching = kind === 'watched' ? watch(service.url, stop.signal) : undefined
  try {
    return await service.run(kind, OUTPUT)
  } finally {
    stop.abort()
    await watching
  }
}

/** What a page asks that shows the newest job: every change of all jobs, the dataflow each second, the first rows. */
async function watch(url: string, signal: AbortSignal): Promise<void> {
  const jobs = `${url}/api/v1/inference/batch`
  const events = fetch(`${url}/api/v1/inference/events`, { signal })
    .then((response) => response.text())
    .catch(() => {})
  while (!signal.aborted) {
    const { data } = (await (await fetch(`${jobs}?limit=1&status=running`)).json()) as { data: { job_id: string }[] }
    const [job] = data
    if (job) for (const what of ['flow', 'first-rows']) await (await fetch(`${jobs}/${job.job_id}/${what}`)).text()
    await sleep(1_000, undefined, { signal }).catch(() => {})
  }
  await events
}

/** Microseconds of CPU that a chunk's entry takes in one worker: its time, its rows, and that it was busy meanwhile. */
function chunkCost(): number {
  const activity = new Activity()
  const chunks = 500_000
  const one = (): void => {
    const end = activity.begin()
    activity.chunk('batch-1', CONFIG.batch_size, 1)
    end()
  }
  for (let i = 0; i < chunks / 10; i++) one()
  const before = process.cpuUsage()
  for (let i = 0; i < chunks; i++) one()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / chunks
}

const workers = ({ cpu }: Measured): number => (cpu.reader ?? 0) + (cpu.scorer ?? 0) + (cpu.sink ?? 0)

function report(measured: Record<Kind, readonly Measured[]>): void {
  const perChunk = chunkCost()
  const cpu = median(measured.with.map(workers))
  // Reader, scorer and sink each make an entry.
  const share = (3 * perChunk * (ROWS / CONFIG.batch_size)) / 1e6 / cpu
  console.log(
    `\nan entry of a chunk takes ${perChunk.toFixed(2)} µs of CPU; those of a job ${(share * 100).toFixed(3)} % of what its workers take`,
  )
  console.log(`\n${thousands(ROWS)} rows, batch_size ${CONFIG.batch_size}, ${RUNS} runs of each`)
  const ratio = (kind: Kind, of: (one: Measured) => number): string => {
    const ratios = measured[kind].map((one, i) => of(one) / of(measured.without[i] as Measured))
    const text = (value: number): string => `${((value - 1) * 100).toFixed(1)} %`
    return `${text(median(ratios))} (quartiles ${text(quantile(ratios, 0.25))}, ${text(quantile(ratios, 0.75))})`
  }
  console.table(
    Object.fromEntries(
      KINDS.map((kind) => [
        kind,
        {
          'rows/s': Math.round(median(measured[kind].map((one) => one.rowsPerSecond))),
          'rows/s, compared': ratio(kind, (one) => one.rowsPerSecond),
          'workers, CPU s': median(measured[kind].map(workers)).toFixed(2),
          'workers, compared': ratio(kind, workers),
          'API, CPU s': median(measured[kind].map(({ cpu }) => cpu.api ?? 0)).toFixed(2),
        },
      ]),
    ),
  )
}

await bench()
