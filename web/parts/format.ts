// Numbers, sizes and times as people read them. Pure; times are in the reader's zone.

const counts = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/** 1234567 → 1,234,567 */
export function count(value: number): string {
  return counts.format(value)
}

/** 1234567 → 1.23M */
export function short(value: number): string {
  return compact.format(value)
}

/** A count with its noun: 1 row, 2 rows. */
export function many(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`
}

export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let size = value
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toPrecision(2)} ${units[unit]}`
}

/** A share of one as whole percent. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** 340 ms, 4.2 s, 3 m 05 s, 2 h 03 m, 4 d 1 h */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  const two = (value: number): string => String(value).padStart(2, '0')
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`
}

/** How long ago, or in how long: 12 s ago, in 3 m. */
export function relative(at: number, now: number): string {
  const away = Math.abs(now - at)
  if (away < 1_500) return 'now'
  const [size, unit] =
    away < 60_000
      ? [1_000, 's']
      : away < 3_600_000
        ? [60_000, 'm']
        : away < 86_400_000
          ? [3_600_000, 'h']
          : [86_400_000, 'd']
  const text = `${Math.floor(away / (size as number))} ${unit}`
  return at > now ? `in ${text}` : `${text} ago`
}

interface Clock {
  readonly day: Intl.DateTimeFormat
  readonly time: Intl.DateTimeFormat
}

/** To make one takes 70 µs, to use it 1 µs; each row of the list of jobs has four times. */
const clocks = new Map<string | undefined, Clock>()

function clockOf(timeZone: string | undefined): Clock {
  const known = clocks.get(timeZone)
  if (known) return known
  const zone = timeZone === undefined ? {} : { timeZone }
  const clock = {
    day: new Intl.DateTimeFormat('en-CA', { ...zone, dateStyle: 'short' }),
    time: new Intl.DateTimeFormat('en-GB', { ...zone, timeStyle: 'medium' }),
  }
  clocks.set(timeZone, clock)
  return clock
}

/** In the given zone (the reader's own by default): today's times without the date. */
export function localTime(at: number, now: number, timeZone?: string): string {
  const { day, time } = clockOf(timeZone)
  return day.format(at) === day.format(now) ? time.format(at) : `${day.format(at)} ${time.format(at)}`
}

/** 2026-03-29 01:30:00 UTC */
export function utcTime(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
