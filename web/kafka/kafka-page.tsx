// Kafka: the service's topics, and how far behind their consumer groups are; each opens to its partitions.
import { useState } from 'preact/hooks'
import { usePoll } from '../client/poll.ts'
import type { KafkaTopic } from '../client/types.ts'
import { DataTable, type TableColumn } from '../parts/data-table.tsx'
import { bytes, count, short } from '../parts/format.ts'
import { Failure } from '../parts/notices.tsx'
import { useTitle } from '../shell/title.ts'

type Group = KafkaTopic['groups'][number]
type Partition = Group['partitions'][number]

const PARTITIONS: readonly TableColumn<Partition>[] = [
  { name: 'Partition', cell: ({ partition }) => partition, by: ({ partition }) => partition, number: true },
  {
    name: 'Start',
    cell: ({ start_offset }) => start_offset,
    by: ({ start_offset }) => Number(start_offset),
    number: true,
  },
  {
    name: 'Committed',
    cell: ({ committed_offset }) => committed_offset ?? '–',
    by: (each) => Number(each.committed_offset ?? -1),
    number: true,
  },
  { name: 'End', cell: ({ end_offset }) => end_offset, by: ({ end_offset }) => Number(end_offset), number: true },
  { name: 'Lag', cell: ({ lag }) => count(lag), by: ({ lag }) => lag, number: true },
]

export function KafkaPage() {
  useTitle('Kafka')
  const { data, error, again } = usePoll<{ brokers: number; data: KafkaTopic[] }>('/api/v1/kafka/topics', 2_000)
  const [open, setOpen] = useState<string | null>(null)
  if (error && !data) return <Failure error={error} again={again} />
  if (!data) return <p class="muted">Asking the brokers…</p>
  const columns: TableColumn<KafkaTopic>[] = [
    {
      name: 'Topic',
      cell: ({ name, topic, groups }) =>
        groups.length ? (
          <button
            type="button"
            class="link mono"
            aria-expanded={open === name}
            title={topic}
            onClick={() => setOpen(open === name ? null : name)}
          >
            {name}
          </button>
        ) : (
          <span class="mono" title={topic}>
            {name}
          </span>
        ),
      by: ({ name }) => name,
    },
    { name: 'Partitions', cell: ({ partitions }) => partitions, by: ({ partitions }) => partitions, number: true },
    {
      name: 'Offsets',
      cell: ({ offsets }) => count(offsets),
      by: ({ offsets }) => offsets,
      number: true,
      title: 'End minus start of all partitions; compaction and markers leave gaps',
    },
    {
      name: 'Size',
      cell: ({ size_bytes }) => bytes(size_bytes),
      by: ({ size_bytes }) => size_bytes,
      number: true,
      title: 'On the disks of the brokers, all replicas',
    },
    {
      name: 'Keeps',
      cell: ({ cleanup }) => (cleanup === 'compact' ? 'newest of each key' : 'by age and size'),
      by: ({ cleanup }) => cleanup,
    },
    {
      name: 'Consumer group',
      cell: ({ groups }) =>
        groups.length ? (
          groups.map(({ group }) => group).join(', ')
        ) : (
          <span class="muted">followed without a group</span>
        ),
    },
    { name: 'Lag', cell: (topic) => (topic.groups.length ? <Lag lag={lagOf(topic)} /> : '–'), by: lagOf, number: true },
  ]
  const shown = data.data.find(({ name }) => name === open)
  return (
    <>
      <div class="page-head">
        <h1>Kafka</h1>
        <p class="muted">
          {data.brokers} broker{data.brokers === 1 ? '' : 's'}; press a topic to see its partitions
        </p>
      </div>
      <DataTable label="Topics" columns={columns} rows={data.data} keyOf={({ name }) => name} class="tall" />
      {shown?.groups.map(({ group, members, state, partitions }) => (
        <section key={group} class="section">
          <div class="section-head">
            <h2 class="mono">
              {shown.name} <small>read by {group}</small>
            </h2>
            <p class="muted">
              {state}, {members} member{members === 1 ? '' : 's'}
            </p>
          </div>
          <DataTable
            label={`Partitions of ${shown.name}`}
            columns={PARTITIONS}
            rows={partitions}
            keyOf={({ partition }) => partition}
          />
        </section>
      ))}
    </>
  )
}

function lagOf({ groups }: KafkaTopic): number {
  return groups.reduce((sum, group) => sum + group.partitions.reduce((lag, partition) => lag + partition.lag, 0), 0)
}

function Lag({ lag }: { lag: number }) {
  return <b class={lag > 0 ? 'number' : 'muted'}>{short(lag)}</b>
}
