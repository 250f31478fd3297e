// A moment in the reader's zone, with the UTC in its title; and a clock that parts of the page can follow.
import { useEffect, useState } from 'preact/hooks'
import { localTime, relative, utcTime } from './format.ts'

/** The time now, drawn again every `everyMs`. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

export function Time({ at, ago = false, now = Date.now() }: { at: string; ago?: boolean; now?: number }) {
  const ms = Date.parse(at)
  return (
    <time dateTime={at} title={`${localTime(ms, 0)} here, ${utcTime(ms)}`}>
      {ago ? relative(ms, now) : localTime(ms, now)}
    </time>
  )
}
