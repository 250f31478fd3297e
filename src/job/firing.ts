// When a cron expression fires in a time zone, also on the days when its clocks are changed. Pure; the zones' rules are
// those of the runtime (Intl).
//
// A time of the day (`30 2 * * *`) fires once on every day that fits: when the clocks skip it, at the first moment after
// the gap; when they show it twice, the first time. What fits in every hour (`*/15 * * * *`) is an interval: it fires
// whenever the clock shows such a time, so its firings stay as far apart as ever. Cron (Vixie's) does much the same.
import { type Cron, DAY_MS, isHourly, nextMatch } from './cron.ts'

const SECOND_MS = 1_000

/** Whether the runtime knows a time zone. */
export function isTimeZone(name: string): boolean {
  try {
    clockOf(name)
    return true
  } catch {
    return false
  }
}

/** The first firing after a moment, both in ms since 1970; null if there is none. */
export function nextFiring(cron: Cron, timeZone: string, afterMs: number): number | null {
  let from = Math.floor(afterMs / SECOND_MS) * SECOND_MS + SECOND_MS
  for (;;) {
    const found = firstWithinDay(cron, timeZone, from)
    if (found !== null) return found
    const offset = offsetMs(timeZone, from)
    const match = nextMatch(cron, from + offset)
    if (match === null) return null
    // No clock is changed by more than a day, so what lies between need not be looked at.
    from = Math.max(from + DAY_MS, match - offset - DAY_MS)
  }
}

/** The last firing at or before a moment, given one (`knownMs`) that is. */
export function lastFiring(cron: Cron, timeZone: string, knownMs: number, untilMs: number): number {
  let last = knownMs
  let end = untilMs
  // Nothing fires in (end, untilMs]; each turn halves what lies between.
  while (end > last) {
    const middle = Math.floor((last + end) / 2)
    const next = nextFiring(cron, timeZone, middle)
    if (next !== null && next <= untilMs) last = next
    else end = middle
  }
  return last
}

/** A stretch of time, [start, end), in which the clocks are not changed. */
interface Segment {
  readonly start: number
  readonly end: number
  readonly offset: number
}

/** The first firing in [from, from + a day). */
function firstWithinDay(cron: Cron, timeZone: string, from: number): number | null {
  // The day before tells which times the clocks show for the second time.
  const segments = [...segmentsOf(timeZone, from - DAY_MS, from), ...segmentsOf(timeZone, from, from + DAY_MS)]
  const hourly = isHourly(cron)
  /** What the clocks have shown or skipped so far ends here. */
  let passed = (segments[0] as Segment).start + (segments[0] as Segment).offset
  for (const { start, end, offset } of segments) {
    if (end > from) {
      const shown = Math.max(start, from) + offset
      // A gap before this segment counts, unless its end has been passed already.
      const begin = hourly ? shown : from > start ? Math.max(passed, shown) : passed
      const match = nextMatch(cron, begin)
      if (match !== null && match < end + offset) return Math.max(start, match - offset)
    }
    passed = Math.max(passed, end + offset)
  }
  return null
}

/** The segments of a day; in no zone are the clocks changed twice within one. */
function segmentsOf(timeZone: string, start: number, end: number): Segment[] {
  const offset = offsetMs(timeZone, start)
  const after = offsetMs(timeZone, end)
  if (offset === after) return [{ start, end, offset }]
  let before = start
  let change = end
  while (change - before > SECOND_MS) {
    const middle = Math.floor((before + change) / 2 / SECOND_MS) * SECOND_MS
    if (offsetMs(timeZone, middle) === offset) before = middle
    else change = middle
  }
  return [
    { start, end: change, offset },
    { start: change, end, offset: after },
  ]
}

/** How far a zone's clocks are ahead of UTC at a moment (a whole second). */
function offsetMs(timeZone: string, atMs: number): number {
  if (timeZone === 'UTC') return 0
  const shown: Record<string, number> = {}
  for (const { type, value } of clockOf(timeZone).formatToParts(atMs)) shown[type] = Number(value)
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = shown
  return Date.UTC(year, month - 1, day, hour, minute, second) - atMs
}

/** Making one takes a hundred times as long as using it. */
const clocks = new Map<string, Intl.DateTimeFormat>()

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const key = timeZone.toLowerCase()
  let clock = clocks.get(key)
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    clocks.set(key, clock)
  }
  return clock
}
