// How the command line shows things: tables, a progress bar on a terminal, plain lines in a log. Pure but for `print`.
import type { JobStatusBody } from '../src/job/job-status.ts'

const BAR_WIDTH = 30

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2))
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? count(cell) : (cell ?? '–'))))
  const widths = head.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const right = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (right[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(head.map((name) => name.toUpperCase())), ...cells.map(line)].join('\n')
}

export function count(value: number): string {
  return value.toLocaleString('en')
}

/** 3.2 s, 12 s, 4 min 5 s, 2 h 3 min. */
export function duration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, value > 0 ? Math.floor(Math.log10(value) / 3) : 0)
  return `${(value / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`
}

/** How far a job is, in one line. */
export function progressLine(job: JobStatusBody, now: number): string {
  const { percentage, processed_rows, rows_per_second } = job.progress
  const filled = Math.round((percentage / 100) * BAR_WIDTH)
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
  const left = job.estimated_completion
    ? `  ${duration(Math.max(0, Date.parse(job.estimated_completion) - now))} left`
    : ''
  return `${bar} ${String(percentage).padStart(3)} %  ${count(processed_rows)} rows  ${count(rows_per_second)} rows/s${left}`
}

/** Where a job's rows go, in a few words. */
export function target(output: Readonly<Record<string, unknown>>): string {
  const { destination, table_name, path, topic } = output
  return `${destination} ${table_name ?? path ?? topic ?? ''}`.trim()
}

function webhookText({ url, state, attempts, last_error }: NonNullable<JobStatusBody['webhook']>): string {
  const tries = attempts ? ` after ${attempts} ${attempts === 1 ? 'try' : 'tries'}` : ''
  return `${state}${tries}: ${url}${last_error === null ? '' : ` (${last_error})`}`
}

/** Everything about a job that a person asks first. */
export function jobText(job: JobStatusBody): string {
  const { progress, started_at, finished_at } = job
  const took = started_at && finished_at ? Date.parse(finished_at) - Date.parse(started_at) : null
  const lines = [
    `job      ${job.job_id}`,
    `status   ${job.status}${job.queue_position ? `, place ${job.queue_position} in the queue` : ''}`,
    ...(job.waiting_for ? [`waits    ${job.waiting_for.message}, since ${job.waiting_for.since}`] : []),
    `model    ${job.model_id}${job.model_version === null ? '' : `@${job.model_version}`}`,
    ...job.outputs.map(({ output, written_rows }) => `output   ${target(output)}: ${count(written_rows)} rows durable`),
    `rows     ${count(progress.processed_rows)} of ${count(progress.total_rows)} scored (${progress.percentage} %), ${count(progress.failed_rows)} failed`,
    ...(took === null ? [] : [`took     ${duration(took)}, ${count(progress.rows_per_second)} rows/s`]),
    ...job.failed_attempts.map(({ attempt, error }) => `attempt  ${attempt} failed: ${error.message} (${error.code})`),
    ...(job.webhook ? [`webhook  ${webhookText(job.webhook)}`] : []),
    ...(job.error ? [`error    ${job.error.message} (${job.error.code})`] : []),
  ]
  return lines.join('\n')
}
