// `npm run bench:peers`: the same rows of the same Postgres through the same ONNX file, by our service and by what it would replace (Ray Data,
// Spark, Daft, a hand-written script), to Parquet and to a table, in turn; each result is checked to be the same. Prints our rows/s beside
// theirs and beside the limits, CPU seconds and peak memory; bench-peers.json has every run. The README tells the settings.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { defaultScorers } from '../../src/config.ts'
import { pause } from '../process-costs.ts'
import { startWholeService, type WholeService, whenReady } from '../whole-service.ts'
import { limitsOf } from './limits.ts'
import { type Destination, type Options, readOptions } from './options.ts'
import { modelOf, pathOf, register, runOurs } from './ours.ts'
import { jdbcDriver, models, peerPackages } from './packages.ts'
import { type Peer, runPeer } from './peer.ts'
import { printCosts, printLimits, printRatios } from './print.ts'
import { type Digest, differences, digestOf, type Place } from './results.ts'
import { settled } from './settled.ts'
import { type MeasuredLimits, type Run, summarise } from './summary.ts'
import { fillTable } from './tables.ts'
import { columnDefinitions, queryOf, type Workload } from './workloads.ts'

const CORES = 2
/** Ray and Daft write a table row by row, some thousand a second: more would take minutes and tell nothing new. */
const ROW_BY_ROW: readonly Peer[] = ['ray', 'daft']
const ROW_BY_ROW_ROWS = 100_000
/** Longer than a peer takes, mostly: the service stands still meanwhile, and should not lose its lanes by that. */
const SESSION_TIMEOUT_MS = '60000'
/** What a fresh service is given before anything counts: the broker takes less with each of its first jobs. One that stood still has one. */
const WARM_UPS = 3
const WARM_UP_ROWS = 1_000_000

/** One workload with so many rows to one destination, as every participant does it. */
interface Work {
  readonly workload: Workload
  readonly rows: number
  readonly tableRows: number
  readonly destination: Destination
}

async function compare(options: Options): Promise<void> {
  const [folder] = await Promise.all([models(), ...(options.peers.length > 0 ? [peerPackages(), jdbcDriver()] : [])])
  const scratch = await mkdtemp(join(tmpdir(), 'scoreline-peers-'))
  const runs: Run[] = []
  const limits: MeasuredLimits[] = []
  process.once('exit', () => tell(options, runs, limits))
  try {
    for (const [index, scorers] of (options.scorers ?? [null]).entries()) {
      const service = await startWholeService({
        flags: options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : [],
        environment: { KAFKA_SESSION_TIMEOUT_MS: SESSION_TIMEOUT_MS, ...(scorers && { SCORERS: String(scorers) }) },
      })
      const bench = {
        options,
        service,
        scorers,
        folder,
        scratch,
        runs,
        limits,
        withPeers: index === 0,
        tables: new Map(),
        warmUps: 0,
      }
      try {
        await whenReady(service)
        await settled(service, scorers ?? defaultScorers(CORES))
        for (const workload of options.workloads) await compareWorkload(bench, workload)
      } finally {
        await service.stop()
      }
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** At the end, however it came: what was measured until then counts. */
function tell(options: Options, runs: readonly Run[], limits: readonly MeasuredLimits[]): void {
  if (runs.length === 0) return
  const summaries = summarise(runs, limits)
  printCosts(summaries)
  printLimits(limits)
  console.log('\nOur rows/s, and by how much they are more (x) than those of each peer and of each limit; medians:')
  printRatios(summaries)
  writeFileSync(options.report, JSON.stringify({ options, runs, limits, summaries }, null, 2))
}

interface Bench {
  readonly options: Options
  readonly service: WholeService
  readonly scorers: number | null
  /** Of the models. */
  readonly folder: string
  readonly scratch: string
  readonly runs: Run[]
  readonly limits: MeasuredLimits[]
  readonly withPeers: boolean
  /** What is filled, with how many rows that were asked for and are there. */
  readonly tables: Map<string, { asked: number; rows: number }>
  /** Jobs that this service has had before any that counts. */
  warmUps: number
}

async function compareWorkload(bench: Bench, workload: Workload): Promise<void> {
  const { options, service, folder } = bench
  const asked = options.rows ?? [workload.rows]
  const tableRows = await filled(bench, workload.table, Math.max(...asked))
  const model = await modelOf(workload, folder)
  await register(service, workload, model)
  for (const rows of new Set(asked.map((count) => Math.min(count, tableRows)))) {
    for (const destination of options.destinations) {
      const work = { workload, rows, tableRows, destination }
      if (options.limits && bench.withPeers) {
        const query = queryOf(workload, rows, tableRows)
        const chunkRows = Math.min(rows, workload.batchRows ?? options.batchRows)
        const { databaseUrl } = service
        const limit = { databaseUrl, query, model, features: workload.features ?? [], chunkRows, destination }
        bench.limits.push({ workload: workload.name, destination, rows, ...(await limitsOf(limit)) })
      }
      await takeTurns(bench, work)
    }
  }
}

/** Several workloads may read the same rows. */
async function filled({ service, folder, tables }: Bench, table: string, rows: number): Promise<number> {
  const known = tables.get(table)
  if (known?.asked === rows) return known.rows
  const made = await fillTable(service.databaseUrl, table, rows, folder)
  tables.set(table, { asked: rows, rows: made })
  return made
}

/** A job that warms up the service and is not counted; then every participant in turn, as often as asked. */
async function takeTurns(bench: Bench, work: Work): Promise<void> {
  const { options, service, withPeers } = bench
  for (; bench.warmUps < WARM_UPS; bench.warmUps++)
    await ours(bench, { ...work, rows: Math.min(work.rows, WARM_UP_ROWS) }, false)
  await ours(bench, work, false)
  for (let i = 0; i < options.runs; i++) {
    const digest = await ours(bench, work, true)
    if (!withPeers || options.peers.length === 0) continue
    for (const one of options.peers) {
      // Waiting costs the service some CPU time, which would be the peer's loss.
      const resume = await pause(service.pids.filter((pid) => pid !== process.pid))
      try {
        await peers(bench, work, one, digest)
      } finally {
        resume()
      }
    }
    await settled(service, bench.scorers ?? defaultScorers(CORES))
    await ours(bench, { ...work, rows: Math.min(work.rows, WARM_UP_ROWS) }, false)
  }
}

/** Gives the digest of what was written, for any number of rows. */
async function ours(bench: Bench, work: Work, counted: boolean): Promise<(rows: number) => Promise<Digest>> {
  const { service, runs, scorers, options } = bench
  const { workload, rows, tableRows, destination } = work
  const table = 'predictions.ours'
  const output: Record<string, string> =
    destination === 'table' ? { destination, table_name: table } : { destination, path: 'ours' }
  const job = { workload, query: queryOf(workload, rows, tableRows), rows, output }
  if (destination === 'table') await sql(service, `DROP TABLE IF EXISTS ${table}`)
  const measured = await runOurs(service, job, options)
  if (counted) {
    runs.push({ who: 'scoreline', scorers, ...namesOf(work), scoredRows: rows, startupSeconds: null, ...measured })
    say(work, scorers === null ? 'scoreline' : `scoreline, ${scorers} scorers`, rows, measured.seconds)
  }
  const place: Place =
    destination === 'table'
      ? { table, databaseUrl: service.databaseUrl }
      : { directory: join(service.outputRoot, 'ours') }
  return (count) => digestOf(workload, count, place)
}

async function peers(
  { service, scratch, folder, runs }: Bench,
  work: Work,
  peer: Peer,
  digest: (rows: number) => Promise<Digest>,
): Promise<void> {
  const { workload, tableRows, destination } = work
  const rows = destination === 'table' && ROW_BY_ROW.includes(peer) ? Math.min(work.rows, ROW_BY_ROW_ROWS) : work.rows
  const [path, table] = [join(scratch, 'result'), 'peer_result']
  await mkdir(path, { recursive: true })
  await sql(service, `DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (${columnDefinitions(workload)})`)
  try {
    const job = {
      url: service.databaseUrl.replace('postgres://', 'postgresql://'),
      query: queryOf(workload, rows, tableRows),
      key: workload.key,
      model: pathOf(workload.model, folder),
      features: workload.features,
      columns: workload.columns,
      destination,
      path,
      table,
      batch_rows: workload.batchRows,
    }
    const run = await runPeer(peer, job, join(scratch, 'work'))
    const place: Place = destination === 'table' ? { table, databaseUrl: service.databaseUrl } : { directory: path }
    const different = differences(await digest(rows), await digestOf(workload, rows, place))
    if (different.length > 0) throw new Error(`${peer} did not do the same work: ${different.join('; ')}`)
    const { seconds, startupSeconds, cpu, peakMegabytes } = run
    runs.push({
      who: peer,
      scorers: null,
      ...namesOf(work),
      scoredRows: rows,
      seconds,
      startupSeconds,
      cpu: { [peer]: cpu.peer, postgres: cpu.postgres },
      peakMegabytes: { [peer]: peakMegabytes },
    })
    say(work, peer, rows, seconds)
  } finally {
    await rm(path, { recursive: true, force: true })
    await sql(service, `DROP TABLE IF EXISTS ${table}`)
  }
}

function namesOf({ workload, destination, rows }: Work): Pick<Run, 'workload' | 'destination' | 'rows'> {
  return { workload: workload.name, destination, rows }
}

function say({ workload, destination }: Work, who: string, rows: number, seconds: number): void {
  const rate = Math.round(rows / seconds).toLocaleString('en')
  console.log(`${workload.name} to ${destination}: ${who}: ${seconds.toFixed(2)} s, ${rate} rows/s`)
}

async function sql({ databaseUrl }: WholeService, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

/** Everything, the servers too, on two cores; where there are more, this starts over with those two. */
async function onTwoCores(): Promise<boolean> {
  if (availableParallelism() <= CORES) return true
  console.log(`Of ${availableParallelism()} cores, ${CORES} are used (taskset -c 0,1).`)
  const again = ['-c', '0,1', process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const [code] = await once(spawn('taskset', again, { stdio: 'inherit' }), 'exit')
  process.exitCode = code ?? 1
  return false
}

// So that what is to happen at the end happens.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
if (await onTwoCores()) await compare(readOptions(process.env, process.argv.slice(2)))
