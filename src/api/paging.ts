// Pages of a list that is ordered newest first: by time, then by id. The cursor is the place of a page's last entry, so
// entries that come meanwhile do not move the next page.
import { HttpProblem } from './problem.ts'

/** Where an entry stands in such a list. */
export interface Place {
  readonly at: bigint
  readonly id: string
}

export interface Page<T> {
  readonly entries: T[]
  /** What `after` asks the next page with; null when this is the last. */
  readonly next: string | null
}

/** The first entries of what is left of a list; takes no more of it than it needs. */
export function pageOf<T>(newestFirst: Iterable<T>, placeOf: (entry: T) => Place, limit: number): Page<T> {
  const entries: T[] = []
  for (const entry of newestFirst) {
    const last = entries.at(-1)
    if (entries.length === limit && last) return { entries, next: cursorOf(placeOf(last)) }
    entries.push(entry)
  }
  return { entries, next: null }
}

/** Order of such a list. */
export function newerFirst(a: Place, b: Place): number {
  if (a.at !== b.at) return a.at < b.at ? 1 : -1
  return a.id === b.id ? 0 : a.id < b.id ? 1 : -1
}

/** The place that `after`, the `next` of the page before, stands for; null without one. Throws `HttpProblem` if it is none. */
export function cursorPlace(after: string | undefined): Place | null {
  if (after === undefined) return null
  const match = /^(\d{1,18})\/(.+)$/.exec(Buffer.from(after, 'base64url').toString())
  if (!match) throw new HttpProblem(400, 'invalid_cursor', 'after: expected the `next` of a page of this list')
  return { at: BigInt(match[1] as string), id: match[2] as string }
}

function cursorOf({ at, id }: Place): string {
  return Buffer.from(`${at}/${id}`).toString('base64url')
}
