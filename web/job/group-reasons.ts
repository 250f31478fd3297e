// Failed rows by their reasons. Reasons that differ only in numbers or quoted values are one: they have one cause. Pure.
import type { FailedRow } from '../client/types.ts'

export interface ReasonGroup {
  /** With what differs left out as …. */
  readonly reason: string
  readonly rows: readonly FailedRow[]
}

/** The largest group first. */
export function groupByReason(rows: readonly FailedRow[]): ReasonGroup[] {
  const groups = new Map<string, FailedRow[]>()
  for (const row of rows) {
    const reason = shapeOf(row.reason)
    groups.set(reason, [...(groups.get(reason) ?? []), row])
  }
  return [...groups]
    .map(([reason, members]) => ({
      // What they all say in the same words is said as it is.
      reason: members.every((row) => row.reason === members[0]?.reason) ? (members[0]?.reason ?? reason) : reason,
      rows: members,
    }))
    .sort((a, b) => b.rows.length - a.rows.length)
}

function shapeOf(reason: string): string {
  return reason.replace(/'[^']*'|"[^"]*"|(?<![\w.])-?\d+(\.\d+)?([eE][+-]?\d+)?(?!\w)/g, '…')
}
