// The first rows that were scored: there a moment after the first chunk is.
import { useEffect, useState } from 'preact/hooks'
import { usePoll } from '../client/poll.ts'
import { isFinished, type Job } from '../client/types.ts'
import { type DataRow, RowsTable } from '../parts/rows-table.tsx'

const AGAIN_MS = 400

export function FirstRows({ job }: { job: Job }) {
  const started = job.started_at !== null
  // That there are some is known live, so nothing is asked for in vain, and they are asked for at once.
  const scored = job.progress.processed_rows > 0
  const [path, over] = [`/api/v1/inference/batch/${job.job_id}/first-rows`, isFinished(job.status)]
  const [found, setFound] = useState(false)
  // Another attempt has other first rows.
  const { data } = usePoll<{ rows: DataRow[] | null }>(
    scored ? `${path}?attempt=${job.attempt}` : null,
    over || found ? null : AGAIN_MS,
  )
  const rows = data?.rows ?? null
  useEffect(() => setFound(rows !== null), [rows === null])
  if (rows) return <RowsTable rows={rows} label="The first rows that were scored" />
  return (
    <p class="muted">
      {!started
        ? 'They come when the job runs.'
        : over
          ? scored
            ? 'They are not kept for longer than a day; the result has all rows.'
            : 'No row was scored.'
          : 'Waiting for the first chunk…'}
    </p>
  )
}
