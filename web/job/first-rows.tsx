// The first rows that were scored: there a second or two after the job began to run.
import { usePoll } from '../client/poll.ts'
import { isFinished, type Job } from '../client/types.ts'
import { type DataRow, RowsTable } from '../parts/rows-table.tsx'

export function FirstRows({ job }: { job: Job }) {
  const started = job.started_at !== null
  const [path, over] = [`/api/v1/inference/batch/${job.job_id}/first-rows`, isFinished(job.status)]
  // Another attempt has other first rows; the end may have brought some.
  const { data } = usePoll<{ rows: DataRow[] | null }>(
    started ? `${path}?attempt=${job.attempt}` : null,
    over ? null : 700,
  )
  if (data?.rows) return <RowsTable rows={data.rows} label="The first rows that were scored" />
  return (
    <p class="muted">
      {!started
        ? 'They come when the job runs.'
        : over
          ? job.progress.processed_rows > 0
            ? 'They are not kept for longer than a day; the result has all rows.'
            : 'No row was scored.'
          : 'Waiting for the first chunk…'}
    </p>
  )
}
