// What a run of the bench does, from the environment and `--profile`.
import { PEERS, type Peer } from './peer.ts'
import { WORKLOADS, type Workload } from './workloads.ts'

export const DESTINATIONS = ['parquet', 'table'] as const
export type Destination = (typeof DESTINATIONS)[number]

export interface Options {
  readonly workloads: readonly Workload[]
  /** Null: each workload's own. */
  readonly rows: readonly number[] | null
  readonly runs: number
  readonly peers: readonly Peer[]
  readonly destinations: readonly Destination[]
  /** Null: what the service starts by itself. */
  readonly scorers: readonly number[] | null
  readonly batchRows: number
  readonly parallelism: number
  readonly limits: boolean
  /** Where CPU profiles go. */
  readonly profile: string | null
  /** The JSON beside the table. */
  readonly report: string
}

const DEFAULT_WORKLOADS = 'logistic,gbm,forest'

/** Throws when a name is unknown or a number is none. */
export function readOptions(env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Options {
  const names = listOf(env.BENCH_WORKLOADS ?? DEFAULT_WORKLOADS)
  const known = new Map(WORKLOADS.map((workload) => [workload.name, workload]))
  return {
    workloads: chosen('BENCH_WORKLOADS', names, [...known.keys()]).map((name) => known.get(name) as Workload),
    rows: env.BENCH_ROWS ? numbers('BENCH_ROWS', env.BENCH_ROWS) : null,
    runs: numbers('BENCH_RUNS', env.BENCH_RUNS ?? '3')[0] as number,
    peers: chosen('BENCH_PEERS', listOf(env.BENCH_PEERS ?? PEERS.join()), PEERS),
    destinations: chosen('BENCH_DESTINATIONS', listOf(env.BENCH_DESTINATIONS ?? DESTINATIONS.join()), DESTINATIONS),
    scorers: env.BENCH_SCORERS ? numbers('BENCH_SCORERS', env.BENCH_SCORERS) : null,
    batchRows: numbers('BENCH_BATCH_SIZE', env.BENCH_BATCH_SIZE ?? '8000')[0] as number,
    parallelism: numbers('BENCH_PARALLELISM', env.BENCH_PARALLELISM ?? '4')[0] as number,
    limits: env.BENCH_LIMITS !== '0',
    profile: env.BENCH_PROFILE ?? (args.includes('--profile') ? 'bench-profile' : null),
    report: env.BENCH_REPORT ?? 'bench-peers.json',
  }
}

/** `none` is an empty list. */
function listOf(text: string): string[] {
  return text === 'none' ? [] : text.split(',').map((name) => name.trim())
}

function chosen<Name extends string>(setting: string, names: readonly string[], known: readonly Name[]): Name[] {
  return names.map((name) => {
    if (!known.includes(name as Name)) throw new Error(`${setting}: expected some of ${known.join(', ')}, got ${name}`)
    return name as Name
  })
}

function numbers(setting: string, text: string): number[] {
  return listOf(text).map((part) => {
    const value = Number(part)
    if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${setting}: expected numbers from 1, got ${part}`)
    return value
  })
}
