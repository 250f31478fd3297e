// The lanes of an edge: how far each is, what waits in it, who has it.
import type { FlowEdge, FlowLane } from '../client/types.ts'
import { DataTable, type TableColumn } from '../parts/data-table.tsx'
import { count } from '../parts/format.ts'

const COLUMNS: readonly TableColumn<FlowLane>[] = [
  { name: 'Lane', cell: ({ lane }) => lane, by: ({ lane }) => lane, number: true },
  {
    name: 'Committed',
    cell: ({ committed_offset }) => committed_offset ?? '–',
    by: (lane) => Number(lane.committed_offset ?? -1),
    number: true,
    title: "The group's offset in the partition",
  },
  {
    name: 'End',
    cell: ({ end_offset }) => end_offset,
    by: ({ end_offset }) => Number(end_offset),
    number: true,
    title: 'Where the partition ends',
  },
  {
    name: 'Lag',
    cell: ({ partition_lag }) => count(partition_lag),
    by: ({ partition_lag }) => partition_lag,
    number: true,
    title: 'Records in the partition before the group, of any job',
  },
  {
    name: 'Chunks wait',
    cell: ({ lag_chunks }) => count(lag_chunks),
    by: ({ lag_chunks }) => lag_chunks,
    number: true,
    title: 'Of this job',
  },
  {
    name: 'Rows wait',
    cell: ({ lag_rows }) => count(lag_rows),
    by: ({ lag_rows }) => lag_rows,
    number: true,
    title: 'Of this job',
  },
  { name: 'Rows done', cell: ({ done }) => count(done.rows), by: ({ done }) => done.rows, number: true },
  {
    name: 'Owner',
    cell: ({ owner }) => (owner === null ? 'nobody' : <span class="mono small">{owner}</span>),
    by: ({ owner }) => owner ?? '',
  },
]

export function LanesTable({ edge }: { edge: FlowEdge }) {
  return (
    <div class="lanes">
      <h3>
        <span class="mono">{edge.topic}</span> <small>read by group {edge.group}</small>
      </h3>
      {edge.lanes.length ? (
        <DataTable label={`Lanes of ${edge.topic}`} columns={COLUMNS} rows={edge.lanes} keyOf={({ lane }) => lane} />
      ) : (
        <p class="muted">The job has no lanes now: it got none yet, or has given them back at its end.</p>
      )}
    </div>
  )
}
