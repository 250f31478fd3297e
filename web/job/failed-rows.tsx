// The rows that could not be scored, by reason, and a new job over just those.
import { useState } from 'preact/hooks'
import { usePoll } from '../client/poll.ts'
import { type FailedRow, isFinished, type Job, type Page } from '../client/types.ts'
import { count, many } from '../parts/format.ts'
import { Icon } from '../parts/icons.tsx'
import { Failure } from '../parts/notices.tsx'
import { RowsTable } from '../parts/rows-table.tsx'
import { groupByReason, type ReasonGroup } from './group-reasons.ts'
import { Redrive } from './redrive.tsx'

const LOADED = 1_000
const SHOWN = 20

export function FailedRows({ job }: { job: Job }) {
  const over = isFinished(job.status)
  const { data, error, again } = usePoll<Page<FailedRow>>(
    `/api/v1/inference/batch/${job.job_id}/errors?limit=${LOADED}`,
    over ? null : 3_000,
  )
  const [asking, setAsking] = useState(false)
  if (error) return <Failure error={error} again={again} />
  if (!data) return <p class="muted">Loading…</p>
  const groups = groupByReason(data.data)
  return (
    <>
      <div class="section-note">
        <p class="muted">
          {data.has_more ? `The first ${count(LOADED)} of them, ` : ''}
          {many(groups.length, 'reason')}. Each row is in the topic of dead letters too.
        </p>
        <button
          type="button"
          class="button small"
          disabled={!over || !data.data.length}
          onClick={() => setAsking(true)}
        >
          <Icon name="again" />
          Run just these again…
        </button>
      </div>
      {groups.map((group) => (
        <Reason key={group.reason} group={group} />
      ))}
      {asking ? <Redrive job={job} onDone={() => setAsking(false)} /> : null}
    </>
  )
}

function Reason({ group: { reason, rows } }: { group: ReasonGroup }) {
  const [open, setOpen] = useState(false)
  const shown = rows.slice(0, SHOWN).map(({ key, input, reason: own }) => ({
    ...(key === null ? {} : { key }),
    ...input,
    ...(own === reason ? {} : { reason: own }),
  }))
  return (
    <details class="reason" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <span class="reason-count number">{many(rows.length, 'row')}</span>
        <span>{reason}</span>
      </summary>
      {open ? (
        <>
          <RowsTable rows={shown} label={`Rows that failed: ${reason}`} />
          {rows.length > SHOWN ? <p class="muted">{count(rows.length - SHOWN)} more of this kind.</p> : null}
        </>
      ) : null}
    </details>
  )
}
