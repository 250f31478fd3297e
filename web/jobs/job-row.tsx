// A job in the list: state, model, destination, progress, rate, and when it began or will be done.
import type { JSX } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { ratesOf } from '../client/live-jobs.ts'
import { isFinished, type Job } from '../client/types.ts'
import { duration, short } from '../parts/format.ts'
import { memo } from '../parts/memo.ts'
import { Progress } from '../parts/progress.tsx'
import { Sparkline } from '../parts/sparkline.tsx'
import { StateBadge } from '../parts/status.tsx'
import { Time } from '../parts/time.tsx'
import { placeText } from './filter.ts'

export interface JobRowProps {
  readonly job: Job
  readonly index: number
  readonly selected: boolean
  readonly style: JSX.CSSProperties
  /** The focus came to the job's link. Always the same function. */
  readonly onFocus: (jobId: string) => void
}

export const JobRow = memo(
  ({ job, index, selected, style, onFocus }: JobRowProps) => (
    <div role="row" aria-rowindex={index + 2} class={`job-row ${selected ? 'selected' : ''}`} style={style}>
      <span role="cell" class="c-state">
        <StateBadge state={job.status} />
      </span>
      <span role="cell" class="c-job">
        <JobLink jobId={job.job_id} onFocus={onFocus} />
      </span>
      <span role="cell" class="c-model">
        {job.model_id}
        {job.model_version === null ? null : <small>@{job.model_version}</small>}
      </span>
      <span role="cell" class="c-place" title={job.outputs.map(({ output }) => placeText(output)).join(', ')}>
        <small>{String(job.output.destination)}</small> {placeText(job.output)}
        {job.outputs.length > 1 ? <small> +{job.outputs.length - 1}</small> : null}
      </span>
      <span role="cell" class="c-progress">
        <Progress job={job} />
      </span>
      <span role="cell" class="c-rate number">
        {isFinished(job.status) ? null : <Sparkline values={ratesOf(job.job_id)} />}
        {job.progress.rows_per_second > 0 ? `${short(job.progress.rows_per_second)}/s` : '–'}
      </span>
      <span role="cell" class="c-end">
        <Ending job={job} />
      </span>
      <span role="cell" class="c-time muted">
        <Time at={job.submitted_at} />
      </span>
    </div>
  ),
  (a, b) =>
    a.job === b.job &&
    a.selected === b.selected &&
    a.index === b.index &&
    a.style.transform === b.style.transform &&
    a.style.height === b.style.height,
)

function JobLink({ jobId, onFocus }: { jobId: string; onFocus: (jobId: string) => void }) {
  const link = useRef<HTMLAnchorElement>(null)
  // The row may come to show another job, which nobody has chosen.
  useLayoutEffect(
    () => () => {
      if (link.current === document.activeElement) link.current?.blur()
    },
    [jobId],
  )
  return (
    <a ref={link} href={`/jobs/${jobId}`} class="mono" onFocus={() => onFocus(jobId)}>
      {jobId}
    </a>
  )
}

function Ending({ job }: { job: Job }) {
  if (job.waiting_for !== null) return <span title={job.waiting_for.message}>stands still</span>
  if (job.queue_position !== null) return <>place {job.queue_position} in the queue</>
  if (job.finished_at !== null && job.started_at !== null)
    return <>took {duration(Date.parse(job.finished_at) - Date.parse(job.started_at))}</>
  if (job.finished_at !== null) return <>never started</>
  if (job.estimated_completion !== null)
    return <>{duration(Math.max(0, Date.parse(job.estimated_completion) - Date.now()))} left</>
  return <>–</>
}
