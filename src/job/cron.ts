// A cron expression as sets of numbers, and the next time that fits it on a calendar without time zones. Pure. node-cron
// reads the text; which time comes next is found here and in firing.ts, for node-cron gives it only from the present
// moment on, leaves out times that the clocks skip, and wants both day fields to fit where cron wants either.
import { type CronFieldError, validateDetailed } from 'node-cron'

export interface Cron {
  readonly seconds: readonly number[]
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly daysOfMonth: readonly number[]
  readonly months: readonly number[]
  /** 0 is Sunday. */
  readonly daysOfWeek: readonly number[]
}

const EXPECTED: Record<string, string> = {
  second: '0-59 for the second',
  minute: '0-59 for the minute',
  hour: '0-23 for the hour',
  dayOfMonth: '1-31 for the day of the month',
  month: '1-12 or jan-dec for the month',
  dayOfWeek: '0-7 or sun-sat for the day of the week',
}

const FIELDS = 'minute hour day-of-month month day-of-week, with a field for seconds before them if wanted'
const NAMES = 'jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat'.split(' ')

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** 29 February is at most eight years away. */
const MAX_DAYS = 8 * 366 + 1

/** The expression, or what is wrong with it. Five fields, or six with seconds first; `@daily` and the like. */
export function parseCron(text: string): { cron: Cron } | { detail: string } {
  const { fields, errors } = validateDetailed(text)
  const [error] = errors
  if (!fields || error) return { detail: refusal(text, error) }
  // node-cron takes `jan1` for 11, `janjan` too, and has tokens of its own (`L`, `15W`, `5#2`).
  const stranger = text.startsWith('@') ? undefined : text.split(/[\s,/-]+/).find((atom) => !isAtom(atom))
  if (stranger !== undefined) return { detail: `expected numbers or ${NAMES.join(', ')}; got ${stranger}` }
  const cron: Cron = {
    seconds: ascending(fields.second),
    minutes: ascending(fields.minute),
    hours: ascending(fields.hour),
    daysOfMonth: ascending(fields.dayOfMonth),
    months: ascending(fields.month),
    daysOfWeek: ascending(fields.dayOfWeek),
  }
  if (nextMatch(cron, 0) === null) return { detail: noSuchDay(text) }
  return { cron }
}

/** Whether it fits in every hour: then it means an interval and not a time of the day. */
export function isHourly(cron: Cron): boolean {
  return cron.hours.length === 24
}

/**
 * The first time at or after `wallMs` that fits, or null if none ever does. Both are times of a calendar and a clock,
 * as if they were UTC. Of two restricted day fields either may fit, as POSIX says of crontab.
 */
export function nextMatch(cron: Cron, wallMs: number): number | null {
  const first = Math.floor(wallMs / DAY_MS) * DAY_MS
  for (let day = first, end = first + MAX_DAYS * DAY_MS; day < end; day += DAY_MS) {
    if (!fitsDay(cron, new Date(day))) continue
    const time = nextTime(cron, Math.max(0, wallMs - day))
    if (time !== null) return day + time
  }
  return null
}

function fitsDay({ daysOfMonth, months, daysOfWeek }: Cron, day: Date): boolean {
  if (!months.includes(day.getUTCMonth() + 1)) return false
  const inMonth = daysOfMonth.includes(day.getUTCDate())
  const inWeek = daysOfWeek.includes(day.getUTCDay())
  return daysOfMonth.length < 31 && daysOfWeek.length < 7 ? inMonth || inWeek : inMonth && inWeek
}

/** The first time of a day that fits, in ms from midnight, at or after `fromMs`. */
function nextTime({ seconds, minutes, hours }: Cron, fromMs: number): number | null {
  for (const hour of hours) {
    if ((hour + 1) * HOUR_MS <= fromMs) continue
    for (const minute of minutes) {
      const start = hour * HOUR_MS + minute * MINUTE_MS
      if (start + MINUTE_MS <= fromMs) continue
      const second = seconds.find((each) => start + each * SECOND_MS >= fromMs)
      if (second !== undefined) return start + second * SECOND_MS
    }
  }
  return null
}

function noSuchDay(text: string): string {
  return `expected a day that one of the months has; got ${text}`
}

function refusal(text: string, error: CronFieldError | undefined): string {
  if (error?.message.includes('impossible')) return noSuchDay(text)
  const expected = error && EXPECTED[error.field]
  if (!error || !expected) return `expected ${FIELDS}, such as 0 2 * * *; got ${text}`
  return `expected ${expected}, also as a list, range or step such as 1,3 or 1-5 or */5; got ${error.value}`
}

function isAtom(atom: string): boolean {
  return /^(\d*|\*|\?)$/.test(atom) || NAMES.includes(atom.toLowerCase())
}

function ascending(values: readonly (number | string)[]): number[] {
  return [...new Set(values.map(Number))].sort((a, b) => a - b)
}
