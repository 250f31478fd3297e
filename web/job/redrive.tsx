// Running the failed rows again: first what that would be, as the service says, then the job itself.
import { useEffect, useState } from 'preact/hooks'
import { request } from '../client/api.ts'
import type { Job } from '../client/types.ts'
import { placeText } from '../jobs/filter.ts'
import type { Valid } from '../new-job/use-validation.ts'
import { Question } from '../parts/dialog.tsx'
import { count, duration } from '../parts/format.ts'
import { announce } from '../parts/notices.tsx'
import { RowsTable } from '../parts/rows-table.tsx'
import { go } from '../shell/router.ts'

export function Redrive({ job, onDone }: { job: Job; onDone: () => void }) {
  const path = `/api/v1/inference/batch/${job.job_id}/errors/redrive`
  const [preview, setPreview] = useState<Valid | Error | null>(null)
  useEffect(() => {
    const stop = new AbortController()
    request<Valid>(`${path}?validate_only=true`, { method: 'POST', signal: stop.signal }).then(
      setPreview,
      (error: Error) => {
        if (!stop.signal.aborted) setPreview(error)
      },
    )
    return () => stop.abort()
  }, [path])
  const answer = async (yes: boolean): Promise<void> => {
    onDone()
    if (!yes) return
    try {
      // A second press of the button makes no second job.
      const headers = { 'idempotency-key': crypto.randomUUID() }
      const { job_id } = await request<{ job_id: string }>(path, { method: 'POST', headers })
      announce(`Submitted ${job_id}`)
      go(`/jobs/${job_id}`)
    } catch (error) {
      announce(`Not submitted: ${(error as Error).message}`, true)
    }
  }
  return (
    <Question
      title="Run the failed rows again?"
      action="Submit the job"
      ready={preview !== null && !(preview instanceof Error)}
      onAnswer={answer}
    >
      {preview === null ? (
        <p class="muted">Looking at the rows…</p>
      ) : preview instanceof Error ? (
        <p class="callout bad">{preview.message}</p>
      ) : (
        <Preview job={job} preview={preview} />
      )}
    </Question>
  )
}

function Preview({ job, preview }: { job: Job; preview: Valid }) {
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Rows</dt>
          <dd>
            {count(preview.input_row_count)}, in about {duration(preview.estimated_duration_minutes * 60_000)}
          </dd>
        </div>
        <div>
          <dt>Model</dt>
          <dd>
            {job.model_id}@{preview.model_version}, the newest
          </dd>
        </div>
        <div>
          <dt>Added to</dt>
          <dd>{job.outputs.map(({ output }) => placeText(output)).join(', ')}</dd>
        </div>
      </dl>
      {preview.sample?.length ? <RowsTable rows={preview.sample} label="The first rows, scored" /> : null}
      {preview.sample_errors.map((reason) => (
        <p key={reason} class="field-error">
          Would fail again: {reason}
        </p>
      ))}
      {job.status === 'completed' ? null : (
        <p class="callout warn">
          This job is {job.status}, so its other rows are not in the output. To get all of them, mend the cause and run
          the whole job again.
        </p>
      )}
    </>
  )
}
