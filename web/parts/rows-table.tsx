// Rows of data as they are: any columns, NULL told from empty text.
export type DataRow = Readonly<Record<string, unknown>>

export function RowsTable({ rows, label }: { rows: readonly DataRow[]; label: string }) {
  const columns = Object.keys(rows[0] ?? {})
  return (
    <div class="table-box data" role="region" aria-label={label} tabIndex={0}>
      <table>
        <caption class="unseen">{label}</caption>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col" class={isNumber(rows, name) ? 'right' : ''}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {columns.map((name) => (
                <td key={name} class={isNumber(rows, name) ? 'right number' : ''}>
                  <Cell value={row[name]} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function isNumber(rows: readonly DataRow[], name: string): boolean {
  return rows.every((row) => typeof row[name] === 'number' || row[name] === null)
}

function Cell({ value }: { value: unknown }) {
  if (value === null || value === undefined) return <span class="null">NULL</span>
  if (value === '') return <span class="null">empty</span>
  if (typeof value === 'number')
    return <>{Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)))}</>
  return <>{typeof value === 'object' ? JSON.stringify(value) : String(value)}</>
}
