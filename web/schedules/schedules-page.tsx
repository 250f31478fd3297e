// Schedules: when each fires next, in the zone one wants to see; on and off; what its last firings became.
import { useState } from 'preact/hooks'
import { request } from '../client/api.ts'
import { usePoll } from '../client/poll.ts'
import type { Job, Page, Schedule } from '../client/types.ts'
import { placeText } from '../jobs/filter.ts'
import { Question } from '../parts/dialog.tsx'
import { localTime, relative, utcTime } from '../parts/format.ts'
import { announce, Empty, Failure } from '../parts/notices.tsx'
import { StateBadge } from '../parts/status.tsx'
import { Time, useNow } from '../parts/time.tsx'
import { useTitle } from '../shell/title.ts'

type Zone = 'mine' | 'its own' | 'UTC'
const ZONES: readonly Zone[] = ['mine', 'its own', 'UTC']

export function SchedulesPage() {
  useTitle('Schedules')
  const { data, error, again } = usePoll<Page<Schedule>>('/api/v1/inference/schedules?limit=1000', 5_000)
  const [zone, setZone] = useState<Zone>('mine')
  if (error && !data) return <Failure error={error} again={again} />
  if (!data) return <p class="muted">Loading…</p>
  return (
    <>
      <div class="page-head">
        <h1>Schedules</h1>
        <fieldset class="chips">
          <legend class="unseen">Show times in the zone that is</legend>
          {ZONES.map((name) => (
            <button key={name} type="button" class="chip" aria-pressed={name === zone} onClick={() => setZone(name)}>
              {name === 'UTC' ? name : `${name === 'mine' ? 'my' : name} zone`}
            </button>
          ))}
        </fieldset>
      </div>
      {data.data.length ? (
        data.data.map((schedule) => (
          <ScheduleCard key={schedule.schedule_id} schedule={schedule} zone={zone} onChange={again} />
        ))
      ) : (
        <Empty title="No schedule yet">
          <p>
            A job by the clock is made where every job is: <a href="/new">New job</a>, and there “By the clock”.
          </p>
        </Empty>
      )}
    </>
  )
}

interface CardProps {
  readonly schedule: Schedule
  readonly zone: Zone
  readonly onChange: () => void
}

function ScheduleCard({ schedule, zone, onChange }: CardProps) {
  const { schedule_id, cron, timezone, enabled, next_firings, last_skipped, job } = schedule
  const jobs = usePoll<Page<Job>>(`/api/v1/inference/batch?schedule_id=${schedule_id}&limit=5`, 10_000)
  const [deleting, setDeleting] = useState(false)
  const now = useNow()
  const path = `/api/v1/inference/schedules/${schedule_id}`
  const change = async (method: string, body: unknown, done: string): Promise<void> => {
    try {
      await request(path, { method, ...(body === undefined ? {} : { body }) })
      announce(done)
      onChange()
    } catch (error) {
      announce(`Not changed: ${(error as Error).message}`, true)
    }
  }
  const shownIn = zone === 'UTC' ? 'UTC' : zone === 'its own' ? timezone : undefined
  const output = (job.output ?? (job.outputs as unknown[] | undefined)?.[0] ?? {}) as Record<string, unknown>
  return (
    <section class="section">
      <div class="section-head">
        <h2>
          <span class="mono">{cron}</span> <small>{timezone}</small>
        </h2>
        <div class="push">
          <button
            type="button"
            role="switch"
            class="switch"
            aria-checked={enabled}
            aria-label={`Schedule ${schedule_id} fires`}
            onClick={() => change('PATCH', { enabled: !enabled }, enabled ? 'Paused' : 'It fires from now on')}
          >
            {enabled ? 'on' : 'off'}
          </button>
          <button type="button" class="button small danger" onClick={() => setDeleting(true)}>
            Delete
          </button>
        </div>
      </div>
      <p class="muted">
        {String(job.model_id)} → {placeText(output)} · <span class="mono small">{schedule_id}</span>
      </p>
      <div class="schedule-times">
        <div>
          <h3>Next</h3>
          {enabled ? (
            <ol>
              {next_firings.map((at) => (
                <li key={at}>
                  <time dateTime={at} title={utcTime(Date.parse(at))}>
                    {localTime(Date.parse(at), 0, shownIn)}
                  </time>{' '}
                  <small>{relative(Date.parse(at), now)}</small>
                </li>
              ))}
            </ol>
          ) : (
            <p class="muted">It is off.</p>
          )}
        </div>
        <div>
          <h3>Last jobs</h3>
          <ol>
            {jobs.data?.data.map(({ job_id, status, submitted_at }) => (
              <li key={job_id}>
                <StateBadge state={status} />{' '}
                <a href={`/jobs/${job_id}`}>
                  <Time at={submitted_at} now={now} />
                </a>
              </li>
            ))}
          </ol>
          {jobs.data?.data.length === 0 ? <p class="muted">It has made none yet.</p> : null}
          {last_skipped ? (
            <p class="muted small">
              Left out <Time at={last_skipped.fire_at} now={now} />:{' '}
              {last_skipped.reason === 'overlap' ? 'the job before was not finished' : 'it was found too late'}
            </p>
          ) : null}
        </div>
      </div>
      {deleting ? (
        <Question
          title="Delete this schedule?"
          action="Delete it"
          danger
          onAnswer={(yes) => {
            setDeleting(false)
            if (yes) change('DELETE', undefined, 'Deleted the schedule')
          }}
        >
          <p>It fires no more. Jobs that it made go on, and stay in the list.</p>
        </Question>
      ) : null}
    </section>
  )
}
