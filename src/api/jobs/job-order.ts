// Jobs in the order of their submission, then of their ids, kept so as they come and go: a page of the list, or a job's
// place in the queue, is found by halving and not by sorting.
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { newerFirst, type Place } from '../paging.ts'

export function placeOf({ submitted_at, job_id }: JobSnapshot): Place {
  return { at: submitted_at, id: job_id }
}

export class JobOrder {
  /** Oldest first: a new job is put at the end. */
  readonly #places: Place[] = []

  /** Does nothing when the job is in already. */
  add(job: JobSnapshot): void {
    const place = placeOf(job)
    const i = this.before(place)
    if (this.#places[i]?.id !== place.id) this.#places.splice(i, 0, place)
  }

  delete(job: JobSnapshot): void {
    const i = this.before(placeOf(job))
    if (this.#places[i]?.id === job.job_id) this.#places.splice(i, 1)
  }

  /** How many come before this place. */
  before(place: Place): number {
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (newerFirst(this.#places[middle] as Place, place) > 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Ids, newest first: all, or those that come before a place. */
  *newestFirst(before: Place | null): Generator<string> {
    const from = before === null ? this.#places.length : this.before(before)
    for (let i = from - 1; i >= 0; i--) yield (this.#places[i] as Place).id
  }
}
