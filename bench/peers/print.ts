// The tables that the bench prints.
import type { MeasuredLimits, Summary } from './summary.ts'

/** One line for each piece of work, our rate beside each peer's and each limit's. */
export function printRatios(summaries: readonly Summary[]): void {
  const ours = summaries.filter(({ who }) => who === 'scoreline')
  const rows = ours.map((one) => {
    const others = summaries.filter((other) => other.who !== 'scoreline' && workOf(other) === workOf(one))
    return [
      `${workOf(one)}${one.scorers === null ? '' : `, ${one.scorers} scorers`}`,
      {
        'rows/s': round(one.rowsPerSecond),
        ...Object.fromEntries(
          others.map((peer) => [
            `x ${peer.who}${peer.scoredRows < peer.rows ? ` (${round(peer.scoredRows)} rows)` : ''}`,
            (one.rowsPerSecond / peer.rowsPerSecond).toFixed(2),
          ]),
        ),
        ...(one.ofLimits && {
          'x COPY out': one.ofLimits.copyOut.toFixed(2),
          'x scoring': one.ofLimits.scoring.toFixed(2),
          'x scoring, 2 sessions': one.ofLimits.scoringTwice.toFixed(2),
          'x encoder': one.ofLimits.encoder.toFixed(2),
        }),
      },
    ] as const
  })
  console.table(Object.fromEntries(rows))
}

/** One line for each participant: rate, its spread, start, CPU and memory. */
export function printCosts(summaries: readonly Summary[]): void {
  for (const one of summaries) {
    const name = one.scorers === null ? one.who : `${one.who}, ${one.scorers} scorers`
    const [least, most] = one.range
    const start = one.startupSeconds === null ? '' : `, after ${one.startupSeconds.toFixed(1)} s of start`
    console.log(
      `\n${workOf(one)}: ${name}: ${round(one.rowsPerSecond)} rows/s (${round(least)} to ${round(most)})${start}`,
    )
    console.log(`  CPU s   ${listed(one.cpu, 2)}`)
    console.log(`  peak MB ${listed(one.peakMegabytes, 0)}`)
  }
}

export function printLimits(limits: readonly MeasuredLimits[]): void {
  if (limits.length === 0) return
  const lines = limits.map((one) => [
    workOf(one),
    {
      'COPY out': round(one.copyOut),
      scoring: round(one.scoring),
      'scoring, 2 sessions': round(one.scoringTwice),
      encoder: round(one.encoder),
    },
  ])
  console.log('\nThe limits, each alone in one process, rows/s:')
  console.table(Object.fromEntries(lines))
}

function workOf(one: { readonly workload: string; readonly rows: number; readonly destination: string }): string {
  return `${one.workload}, ${round(one.rows)} to ${one.destination}`
}

function listed(values: Readonly<Record<string, number>>, digits: number): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(', ')
}

function round(value: number): string {
  return Math.round(value).toLocaleString('en')
}
