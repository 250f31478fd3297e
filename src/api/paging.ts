// Pages of a list that is ordered newest first: by time, then by id. The cursor is the place of a page's last entry, so
// entries that come meanwhile do not move the next page.
import { HttpProblem } from './problem.ts'

interface Place {
  readonly at: bigint
  readonly id: string
}

/** A page of `all`, which is in order. `after` is `next` of the page before. Throws `HttpProblem` if it is not. */
export function pageOf<T>(
  all: readonly T[],
  placeOf: (entry: T) => Place,
  after: string | undefined,
  limit: number,
): { entries: T[]; hasMore: boolean; next: string | null } {
  const rest = after === undefined ? all : all.filter(isAfter(after, placeOf))
  const entries = rest.slice(0, limit)
  const last = entries.at(-1)
  const hasMore = rest.length > entries.length
  return { entries, hasMore, next: hasMore && last ? cursorOf(placeOf(last)) : null }
}

/** Order of such a list. */
export function newerFirst(a: Place, b: Place): number {
  return Number(b.at - a.at) || (a.id < b.id ? 1 : -1)
}

function cursorOf({ at, id }: Place): string {
  return Buffer.from(`${at}/${id}`).toString('base64url')
}

function isAfter<T>(cursor: string, placeOf: (entry: T) => Place): (entry: T) => boolean {
  const match = /^(\d{1,18})\/(.+)$/.exec(Buffer.from(cursor, 'base64url').toString())
  if (!match) throw new HttpProblem(400, 'invalid_cursor', 'after: expected the `next` of a page of this list')
  const from = { at: BigInt(match[1] as string), id: match[2] as string }
  return (entry) => {
    const { at, id } = placeOf(entry)
    return at < from.at || (at === from.at && id < from.id)
  }
}
