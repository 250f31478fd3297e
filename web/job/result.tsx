// What the job made, for each of its outputs: where it is, how much, and how to get at it.
import { usePoll } from '../client/poll.ts'
import type { Job, JobResult } from '../client/types.ts'
import { placeText } from '../jobs/filter.ts'
import { Snippet } from '../parts/copy.tsx'
import { DataTable, type TableColumn } from '../parts/data-table.tsx'
import { Download } from '../parts/download.tsx'
import { bytes, count, many } from '../parts/format.ts'
import { Failure } from '../parts/notices.tsx'

type Output = Job['outputs'][number]
type ResultFile = NonNullable<JobResult['files']>[number]

const FILES: readonly TableColumn<ResultFile>[] = [
  { name: 'File', cell: ({ name, url }) => <Download name={name} url={url} />, by: ({ name }) => name },
  { name: 'Rows', cell: ({ rows }) => count(rows), by: ({ rows }) => rows, number: true },
  { name: 'Size', cell: (file) => bytes(file.bytes), by: (file) => file.bytes, number: true },
  {
    name: 'SHA-256',
    cell: ({ sha256 }) => (
      <span class="mono" title={sha256}>
        {sha256.slice(0, 12)}…
      </span>
    ),
  },
]

export function Result({ job }: { job: Job }) {
  const path = job.status === 'completed' ? `/api/v1/inference/batch/${job.job_id}/results` : null
  const { data, error, again } = usePoll<{ results: JobResult[] }>(path)
  return (
    <>
      {error ? <Failure error={error} again={again} /> : null}
      <ul class="results">
        {job.outputs.map((output, i) => (
          <OneResult key={i} output={output} known={data?.results[i]} />
        ))}
      </ul>
    </>
  )
}

function OneResult({
  output: { output, result, written_rows },
  known,
}: {
  output: Output
  known: JobResult | undefined
}) {
  const look = known?.query ?? known?.command
  return (
    <li class="result">
      <h3>
        <small>{String(output.destination)}</small> <span class="mono">{result?.location ?? placeText(output)}</span>
      </h3>
      <p class="muted">
        {result
          ? `${many(result.rows, 'row')}${result.bytes > 0 ? `, ${bytes(result.bytes)}` : ''}, ${output.mode}`
          : `${output.mode}; ${count(written_rows)} rows durable so far${output.destination === 'kafka' ? ' and readable' : ', readable when the job is completed'}`}
      </p>
      {look === undefined ? null : <Snippet text={look} what={known?.query ? 'the query' : 'the command'} />}
      {known?.files?.length ? (
        <DataTable label={`Files of ${known.location}`} columns={FILES} rows={known.files} keyOf={({ name }) => name} />
      ) : null}
    </li>
  )
}
