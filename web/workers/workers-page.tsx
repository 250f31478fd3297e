// Workers: the processes of the service, by role; what each does and costs. One that is lost is marked.
import { usePoll } from '../client/poll.ts'
import type { Worker } from '../client/types.ts'
import { DataTable, type TableColumn } from '../parts/data-table.tsx'
import { bytes, duration, percent, short } from '../parts/format.ts'
import { Icon } from '../parts/icons.tsx'
import { Empty, Failure } from '../parts/notices.tsx'
import { Time } from '../parts/time.tsx'
import { useTitle } from '../shell/title.ts'
import { lanesText } from './lanes-text.ts'

/** A worker may be at many jobs; their own pages tell the rest. */
const SHOWN_JOBS = 2

const COLUMNS: readonly TableColumn<Worker>[] = [
  {
    name: 'Role',
    cell: ({ role, pool, lost }) => (
      <span class="role">
        {lost ? (
          <span class="badge bad">
            <Icon name="warn" />
            lost
          </span>
        ) : null}
        <b>{role}</b> {pool ? <small>{pool}</small> : null}
      </span>
    ),
    by: ({ role, pool }) => `${role} ${pool}`,
  },
  {
    name: 'Works',
    cell: ({ busy_share: busy, back_pressured_share: held }) => (
      <span class="works">
        <span class="share-bar" aria-hidden="true">
          <span class="busy" style={{ width: `${busy * 100}%` }} />
          <span class="held" style={{ width: `${held * 100}%` }} />
        </span>
        {percent(busy)}
        {held > 0.005 ? <small> {percent(held)} held back</small> : null}
      </span>
    ),
    by: ({ busy_share }) => busy_share,
    title: 'Share of the last two seconds',
  },
  {
    name: 'Rows/s',
    cell: ({ rows_per_second }) => short(Math.round(rows_per_second)),
    by: (worker) => worker.rows_per_second,
    number: true,
  },
  {
    name: 'p95',
    cell: ({ chunk_p95_ms }) => (chunk_p95_ms === null ? '–' : duration(chunk_p95_ms)),
    by: (worker) => worker.chunk_p95_ms ?? -1,
    number: true,
    title: '95 of 100 chunks took no longer',
  },
  {
    name: 'Memory',
    cell: (worker) => bytes(worker.rss_bytes),
    by: (worker) => worker.rss_bytes,
    number: true,
    title: 'Resident',
  },
  {
    name: 'CPU',
    cell: ({ cpu_ms }) => duration(cpu_ms),
    by: ({ cpu_ms }) => cpu_ms,
    number: true,
    title: 'Since it began',
  },
  { name: 'Lanes', cell: ({ partitions }) => lanesText(partitions), by: ({ partitions }) => partitions.length },
  {
    name: 'Works on',
    cell: ({ jobs }) =>
      jobs.length === 0
        ? '–'
        : [
            ...jobs.slice(0, SHOWN_JOBS).map((id) => (
              <a key={id} href={`/jobs/${id}`} class="mono small job-link">
                {id.replace(/^batch-/, '').slice(0, 8)}
              </a>
            )),
            jobs.length > SHOWN_JOBS ? <small key="more"> +{jobs.length - SHOWN_JOBS}</small> : null,
          ],
  },
  {
    name: 'Device',
    cell: ({ devices }) => (devices.length ? devices.join(', ') : '–'),
    by: ({ devices }) => devices.join(),
  },
  {
    name: 'Process',
    cell: ({ host, pid, worker_id }) => <span class="mono small" title={worker_id}>{`${host}:${pid}`}</span>,
    by: ({ host, pid }) => `${host} ${pid}`,
  },
  { name: 'Since', cell: ({ started_at }) => <Time at={started_at} ago />, by: ({ started_at }) => started_at },
  { name: 'Seen', cell: ({ seen_at }) => <Time at={seen_at} ago />, by: ({ seen_at }) => seen_at },
]

export function WorkersPage() {
  useTitle('Workers')
  const { data, error, again } = usePoll<{ data: Worker[] }>('/api/v1/workers', 2_000)
  if (error && !data) return <Failure error={error} again={again} />
  if (!data) return <p class="muted">Loading…</p>
  const lost = data.data.filter((worker) => worker.lost)
  return (
    <>
      <div class="page-head">
        <h1>Workers</h1>
        <p class="muted">
          {data.data.length - lost.length} alive{lost.length ? `, ${lost.length} lost` : ''}
        </p>
      </div>
      {lost.length ? (
        <p class="callout warn">
          <Icon name="warn" />
          <span>
            A lost worker has been silent for more than ten seconds. Its lanes move to others of its role; without any,
            start one: <code>node src/main.ts {lost[0]?.role}</code>
          </span>
        </p>
      ) : null}
      {data.data.length ? (
        <DataTable
          label="Workers"
          columns={COLUMNS}
          rows={data.data}
          keyOf={({ worker_id }) => worker_id}
          class="tall"
        />
      ) : (
        <Empty title="No worker has spoken yet" />
      )}
    </>
  )
}
