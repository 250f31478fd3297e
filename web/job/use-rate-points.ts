// The points of a job's throughput chart: kept while its page is open, one for each change that came live.
import { useEffect, useRef, useState } from 'preact/hooks'
import { isFinished, type Job } from '../client/types.ts'
import type { RatePoint } from './throughput.tsx'

const EVERY_MS = 450
const KEPT = 600
const WINDOW_MS = 2_000

export function useRatePoints(job: Job | null): readonly RatePoint[] {
  const [points, setPoints] = useState<readonly RatePoint[]>([])
  const written = useRef<{ at: number; rows: number }[]>([])
  useEffect(() => {
    if (!job || job.started_at === null) return
    const at = Date.now()
    const { rows_per_second, written_rows } = job.progress
    const before = written.current.filter((each) => each.at >= at - WINDOW_MS && each.rows <= written_rows)
    written.current = [...before, { at, rows: written_rows }]
    const first = written.current[0]
    const rate = first && at > first.at ? ((written_rows - first.rows) * 1_000) / (at - first.at) : 0
    const over = isFinished(job.status)
    setPoints((known) => {
      const last = known.at(-1)
      if (over && known.length === 0) return known
      if (last && at - last.at < EVERY_MS && !over) return known
      // A job that is over has come to rest; its status then tells the rate of the whole run.
      return [...known.slice(1 - KEPT), { at, scored: over ? 0 : rows_per_second, written: over ? 0 : rate }]
    })
  }, [job])
  return points
}
