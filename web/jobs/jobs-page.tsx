// Jobs: the live list, its filter, and the keys that go through it.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useStore } from '../client/store.ts'
import { isFinished } from '../client/types.ts'
import { CancelQuestion } from '../job/cancel.tsx'
import { Icon } from '../parts/icons.tsx'
import { useMedia } from '../parts/media.ts'
import { Empty, Failure } from '../parts/notices.tsx'
import { VirtualList } from '../parts/virtual-list.tsx'
import { useKeys } from '../shell/keys.ts'
import { address, go } from '../shell/router.ts'
import { density } from '../shell/theme.ts'
import { useTitle } from '../shell/title.ts'
import { filterOf, searchOf } from './filter.ts'
import { FilterBar } from './filter-bar.tsx'
import { useJobList } from './job-list.ts'
import { JobRow } from './job-row.tsx'

/** Pages are loaded when the last row in view is this close to the last one that is there. */
const AHEAD = 150

export function JobsPage() {
  useTitle('Jobs')
  const search = useStore(address, (path) => path.slice(path.indexOf('?') < 0 ? path.length : path.indexOf('?')))
  const filter = useMemo(() => filterOf(search), [search])
  const { jobs, hasMore, loading, error, more, again } = useJobList(filter)
  const [selectedId, setSelectedId] = useState<string | null>(null)
  // Keys may come faster than the page is drawn: each goes on from the one before.
  const chosen = useRef<string | null>(null)
  const select = useCallback((jobId: string) => {
    chosen.current = jobId
    setSelectedId(jobId)
  }, [])
  const [cancelling, setCancelling] = useState<string | null>(null)
  const box = useRef<HTMLInputElement>(null)
  const narrow = useMedia('(max-width: 760px)')
  const compact = useStore(density) === 'compact'

  const selected = selectedId === null ? -1 : jobs.findIndex(({ job_id }) => job_id === selectedId)
  const move = (by: number): void => {
    const from = jobs.findIndex(({ job_id }) => job_id === chosen.current)
    const to = jobs[Math.max(0, Math.min(jobs.length - 1, from + by))]
    if (to) select(to.job_id)
  }
  useKeys([
    { key: 'j', does: 'Next job', run: () => move(1) },
    { key: 'k', does: 'Job before', run: () => move(-1) },
    { key: 'Enter', does: 'Open the job', run: () => chosen.current !== null && go(`/jobs/${chosen.current}`) },
    { key: '/', does: 'Search', run: () => box.current?.focus() },
    {
      key: 'c',
      does: 'Cancel the job',
      run: () => {
        const job = jobs.find(({ job_id }) => job_id === chosen.current)
        if (job && !isFinished(job.status)) setCancelling(job.job_id)
      },
    },
    { key: 'n', does: 'New job', run: () => go('/new') },
  ])
  const onWindow = useCallback(
    (_first: number, end: number) => {
      if (hasMore && end + AHEAD > jobs.length) more()
    },
    [hasMore, jobs.length, more],
  )
  // The focus follows the keys, so that a screen reader reads the job that they chose. Not to one that they have left meanwhile:
  // the focus chooses too.
  useEffect(() => {
    if (selectedId !== null && selectedId === chosen.current)
      document.querySelector<HTMLElement>('.job-row.selected a')?.focus({ preventScroll: true })
  }, [selectedId])

  return (
    <section class="jobs-page">
      <div class="page-head">
        <h1>Jobs</h1>
        <FilterBar filter={filter} box={box} onChange={(next) => go(`/${searchOf(next)}`, true)} />
        <a class="button primary" href="/new">
          <Icon name="plus" />
          New job
        </a>
      </div>
      {error ? <Failure error={error} again={again} /> : null}
      {jobs.length || loading ? (
        <VirtualList
          count={jobs.length}
          rowHeight={narrow ? (compact ? 76 : 92) : compact ? 29 : 41}
          label="Jobs, newest first"
          selected={selected}
          onWindow={onWindow}
          head={<Head />}
          idOf={(index) => jobs[index]?.job_id ?? ''}
          row={(index, slot, style) => {
            const job = jobs[index]
            return job ? (
              <JobRow key={slot} job={job} index={index} selected={index === selected} style={style} onFocus={select} />
            ) : null
          }}
        />
      ) : error ? null : (
        <NoJobs filtered={search !== ''} />
      )}
      {cancelling === null ? null : <CancelQuestion jobId={cancelling} onDone={() => setCancelling(null)} />}
    </section>
  )
}

function Head() {
  const names = ['State', 'Job', 'Model', 'Destination', 'Progress', 'Rows/s', 'Time', 'Submitted']
  const classes = ['state', 'job', 'model', 'place', 'progress', 'rate', 'end', 'time']
  return (
    <div class="job-head" role="rowgroup">
      <div role="row" aria-rowindex={1} class="job-row">
        {names.map((name, i) => (
          <span key={name} role="columnheader" class={`c-${classes[i]}`}>
            {name}
          </span>
        ))}
      </div>
    </div>
  )
}

function NoJobs({ filtered }: { filtered: boolean }) {
  if (filtered)
    return (
      <Empty title="No job fits">
        <p>
          Change the filter, or <a href="/">show all jobs</a>.
        </p>
      </Empty>
    )
  return (
    <Empty title="No job yet">
      <p>
        A job reads the rows of a query, scores them with a model, and writes the predictions to a table, to files or to
        a topic.
      </p>
      <p>
        <a class="button primary" href="/new">
          <Icon name="plus" />
          Make the first one
        </a>
      </p>
    </Empty>
  )
}
