// Job: what it is doing, why it is slow or failed, and what to do.
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { onJobs } from '../client/live-jobs.ts'
import { usePoll } from '../client/poll.ts'
import { type FlowAnswer, isFinished, type Job } from '../client/types.ts'
import { CopyButton } from '../parts/copy.tsx'
import { count, duration, many, short } from '../parts/format.ts'
import { Icon } from '../parts/icons.tsx'
import { Failure } from '../parts/notices.tsx'
import { Progress } from '../parts/progress.tsx'
import { StateBadge } from '../parts/status.tsx'
import { Time, useNow } from '../parts/time.tsx'
import { useKeys } from '../shell/keys.ts'
import { go } from '../shell/router.ts'
import { useTitle } from '../shell/title.ts'
import { CancelQuestion } from './cancel.tsx'
import { FailedRows } from './failed-rows.tsx'
import { FirstRows } from './first-rows.tsx'
import { Graph } from './graph.tsx'
import { paceOf } from './pace.ts'
import { Request } from './request.tsx'
import { Result } from './result.tsx'
import { Throughput } from './throughput.tsx'
import { Timeline } from './timeline.tsx'
import { useRatePoints } from './use-rate-points.ts'
import { Webhook } from './webhook.tsx'

export function JobPage({ jobId }: { jobId: string }) {
  useTitle(jobId)
  const path = `/api/v1/inference/batch/${encodeURIComponent(jobId)}`
  const asked = usePoll<Job>(path)
  const [live, setLive] = useState<Job | null>(null)
  useEffect(() => onJobs((changed) => setLive((job) => changed.get(jobId) ?? job)), [jobId])
  const job = live ?? asked.data
  const over = job !== null && isFinished(job.status)
  const flow = usePoll<FlowAnswer>(job && !over && job.started_at !== null ? `${path}/flow` : null, 1_000)
  const points = useRatePoints(job)

  if (!job) return asked.error ? <Failure error={asked.error} again={asked.again} /> : <p class="muted">Loading…</p>
  return (
    <article class="job-page">
      <Head job={job} />
      {job.error ? (
        <div class="callout bad" role="alert">
          <Icon name="warn" />
          <div>
            <p>
              <strong>{job.error.code}</strong>
            </p>
            <p>{job.error.message}</p>
          </div>
        </div>
      ) : null}
      {job.waiting_for ? (
        <div class="callout warn" role="status">
          <Icon name="wait" />
          <p>
            It stands still since <Time at={job.waiting_for.since} />: {job.waiting_for.message}
          </p>
        </div>
      ) : null}
      {flow.data ? (
        <Section title="Dataflow" note="Press what lies between two stages to see its lanes.">
          <p class="pace">{job.waiting_for ? null : paceOf(flow.data.nodes)}</p>
          <Graph job={job} flow={flow.data} />
        </Section>
      ) : null}
      <div class="columns">
        {points.length > 1 ? (
          <Section title="Rows per second">
            <Throughput points={points} />
          </Section>
        ) : null}
        <Section title="What happened">
          <LiveTimeline job={job} />
        </Section>
      </div>
      {job.progress.failed_rows > 0 ? (
        <Section title={`${many(job.progress.failed_rows, 'row')} failed`}>
          <FailedRows job={job} />
        </Section>
      ) : null}
      <Section title="First scored rows">
        <FirstRows job={job} />
      </Section>
      <Section title={job.outputs.length > 1 ? 'Outputs' : 'Output'}>
        <Result job={job} />
      </Section>
      {job.webhook ? (
        <Section title="Webhook">
          <Webhook webhook={job.webhook} />
        </Section>
      ) : null}
      <Section title="Request">
        <Request job={job} />
      </Section>
    </article>
  )
}

function Head({ job }: { job: Job }) {
  const [cancelling, setCancelling] = useState(false)
  const over = isFinished(job.status)
  const again = (): void => go(`/new?from=${job.job_id}`)
  useKeys([
    { key: 'c', does: 'Cancel the job', run: () => !over && setCancelling(true) },
    { key: 'r', does: 'Run it again', run: again },
    { key: 'Escape', does: 'Back to the jobs', run: () => go('/') },
  ])
  return (
    <>
      <div class="page-head">
        <a class="icon-button" href="/" aria-label="Back to the jobs">
          <Icon name="back" />
        </a>
        <h1 class="mono">{job.job_id}</h1>
        <CopyButton text={job.job_id} what="the job's id" />
        <StateBadge state={job.status} />
        <div class="push">
          {over ? null : (
            <button type="button" class="button danger" onClick={() => setCancelling(true)}>
              <Icon name="stop" />
              Cancel
            </button>
          )}
          <button type="button" class="button" onClick={again}>
            <Icon name="again" />
            Run again…
          </button>
        </div>
      </div>
      <Progress job={job} large />
      <Facts job={job} />
      {cancelling ? <CancelQuestion jobId={job.job_id} onDone={() => setCancelling(false)} /> : null}
    </>
  )
}

function Facts({ job }: { job: Job }) {
  const now = useNow()
  const { progress, started_at, finished_at, estimated_completion } = job
  return (
    <dl class="facts-row">
      <Fact name="Model">
        {job.model_id}
        {job.model_version === null ? null : <small>@{job.model_version}</small>}
      </Fact>
      <Fact name="Scored">
        <span class="number">{count(progress.processed_rows)}</span> <small>of {count(progress.total_rows)}</small>
      </Fact>
      <Fact name="Written">
        <span class="number">{count(progress.written_rows)}</span>
      </Fact>
      <Fact name="Failed rows">
        <span class={`number ${progress.failed_rows > 0 ? 'bad-text' : ''}`}>{count(progress.failed_rows)}</span>
      </Fact>
      <Fact name={finished_at === null ? 'Now' : 'On average'}>
        <span class="number">{short(progress.rows_per_second)}</span> <small>rows/s</small>
      </Fact>
      <Fact name={finished_at === null ? 'Running for' : 'Took'}>
        <span class="number">
          {started_at === null
            ? '–'
            : duration((finished_at === null ? now : Date.parse(finished_at)) - Date.parse(started_at))}
        </span>
      </Fact>
      {finished_at === null ? (
        <Fact name="Done">
          {estimated_completion === null ? '–' : <Time at={estimated_completion} ago now={now} />}
        </Fact>
      ) : (
        <Fact name="Finished">
          <Time at={finished_at} now={now} />
        </Fact>
      )}
      <Fact name="Attempt">
        <span class="number">{job.attempt || '–'}</span>
      </Fact>
    </dl>
  )
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function LiveTimeline({ job }: { job: Job }) {
  return <Timeline job={job} now={useNow()} />
}

function Section({ title, note, children }: { title: string; note?: string; children: ComponentChildren }) {
  return (
    <section class="section">
      <div class="section-head">
        <h2>{title}</h2>
        {note ? <p class="muted">{note}</p> : null}
      </div>
      {children}
    </section>
  )
}
