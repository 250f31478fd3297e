// From the single runs to what is printed: medians of the interleaved runs, and ours beside each peer and each limit. Pure.
import type { Limits } from './limits.ts'

/** One job of one participant. */
export interface Run {
  /** `scoreline`, or a peer. */
  readonly who: string
  /** Of ours; null: the default, or a peer. */
  readonly scorers: number | null
  readonly workload: string
  readonly destination: string
  /** Of the workload, which is what a peer is compared with. */
  readonly rows: number
  /** That this participant scored: a peer may be given fewer, for it would take too long. */
  readonly scoredRows: number
  readonly seconds: number
  /** Before the job: until the engine was up. Of ours null, for the service runs. */
  readonly startupSeconds: number | null
  /** CPU seconds during the job, by process. */
  readonly cpu: Readonly<Record<string, number>>
  /** Peak resident MB, by process. */
  readonly peakMegabytes: Readonly<Record<string, number>>
}

export interface MeasuredLimits extends Limits {
  readonly workload: string
  readonly destination: string
  readonly rows: number
}

/** All runs of one participant on the same work. */
export interface Summary extends Omit<Run, 'seconds'> {
  readonly runs: number
  readonly rowsPerSecond: number
  readonly seconds: number
  /** The slowest and the fastest run. */
  readonly range: readonly [number, number]
  /** Our rows a second by this participant's, for the same work; 1 for ours, null when we did not run it. */
  readonly ratio: number | null
  /** Rows a second of ours, by each limit; of others, null. */
  readonly ofLimits: Limits | null
}

/** One for each participant, scorers, workload, rows and destination, in order of appearance. */
export function summarise(runs: readonly Run[], limits: readonly MeasuredLimits[]): Summary[] {
  const groups = Map.groupBy(runs, (run) => [run.who, run.scorers, ...workOf(run)].join('/'))
  const medians = [...groups.values()].map(medianOf)
  return medians.map((one) => {
    const ours = medians.find((other) => other.who === 'scoreline' && sameWork(one, other))
    const limit = one.who === 'scoreline' ? limits.find((each) => sameWork(each, one)) : undefined
    return {
      ...one,
      ratio: one.who === 'scoreline' ? 1 : ours ? ours.rowsPerSecond / one.rowsPerSecond : null,
      ofLimits: limit ? mapValues(limit, one.rowsPerSecond) : null,
    }
  })
}

function medianOf(runs: readonly Run[]): Summary {
  const [first] = runs as [Run, ...Run[]]
  const rates = runs.map(({ scoredRows, seconds }) => scoredRows / seconds)
  const starts = runs.flatMap(({ startupSeconds }) => startupSeconds ?? [])
  return {
    ...first,
    runs: runs.length,
    rowsPerSecond: middle(rates),
    seconds: middle(runs.map(({ seconds }) => seconds)),
    range: [Math.min(...rates), Math.max(...rates)],
    startupSeconds: starts.length > 0 ? middle(starts) : null,
    cpu: eachMedian(runs.map(({ cpu }) => cpu)),
    peakMegabytes: eachMedian(runs.map(({ peakMegabytes }) => peakMegabytes)),
    ratio: null,
    ofLimits: null,
  }
}

/** The middle one; of an even number the mean of the two in the middle. */
export function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(at) - 1] ?? 0, sorted[Math.floor(at)] ?? 0]
  return (low + high) / 2
}

function eachMedian(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = new Set(records.flatMap((record) => Object.keys(record)))
  return Object.fromEntries([...names].map((name) => [name, middle(records.map((record) => record[name] ?? 0))]))
}

function mapValues(limit: Limits, rate: number): Limits {
  return {
    copyOut: rate / limit.copyOut,
    scoring: rate / limit.scoring,
    scoringTwice: rate / limit.scoringTwice,
    encoder: rate / limit.encoder,
  }
}

type Work = Pick<Run, 'workload' | 'destination' | 'rows'>

function workOf({ workload, rows, destination }: Work): readonly (string | number)[] {
  return [workload, rows, destination]
}

function sameWork(one: Work, other: Work): boolean {
  return workOf(one).join('/') === workOf(other).join('/')
}
