// A table that a press on a column's head sorts.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'

export interface TableColumn<T> {
  readonly name: string
  readonly cell: (row: T) => ComponentChildren
  /** What it is sorted by; without it the column is not to be sorted. */
  readonly by?: (row: T) => number | string
  /** Numbers stand at the right, and begin with the largest. */
  readonly number?: boolean
  readonly title?: string
}

export interface DataTableProps<T> {
  readonly label: string
  readonly columns: readonly TableColumn<T>[]
  readonly rows: readonly T[]
  readonly keyOf: (row: T) => string | number
  readonly class?: string
}

export function DataTable<T>({ label, columns, rows, keyOf, class: look = '' }: DataTableProps<T>) {
  const [sort, setSort] = useState<{ column: number; down: boolean } | null>(null)
  const by = sort === null ? undefined : columns[sort.column]?.by
  const sorted = by === undefined ? rows : [...rows].sort((a, b) => compared(by(a), by(b)) * (sort?.down ? -1 : 1))
  const press = (column: number): void => {
    const down = columns[column]?.number === true
    setSort(sort?.column === column ? (sort.down === down ? { column, down: !down } : null) : { column, down })
  }
  return (
    <div class={`table-box ${look}`} role="region" aria-label={label} tabIndex={0}>
      <table>
        <caption class="unseen">{label}</caption>
        <thead>
          <tr>
            {columns.map(({ name, by: sortable, number, title }, i) => (
              <th
                key={name}
                scope="col"
                class={number ? 'right' : ''}
                title={title}
                aria-sort={
                  sort?.column === i ? (sort.down ? 'descending' : 'ascending') : sortable ? 'none' : undefined
                }
              >
                {sortable ? (
                  <button type="button" onClick={() => press(i)}>
                    {name}
                  </button>
                ) : (
                  name
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ name, cell, number }) => (
                <td key={name} class={number ? 'right number' : ''}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function compared(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
