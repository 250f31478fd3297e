// The jobs that were loaded, newest first as the API lists them, each once. Pure.
import type { Job } from '../client/types.ts'

export function newestFirst(a: Job, b: Job): number {
  if (a.submitted_at !== b.submitted_at) return a.submitted_at < b.submitted_at ? 1 : -1
  return a.job_id === b.job_id ? 0 : a.job_id < b.job_id ? 1 : -1
}

/** Where the job is, or (as -1 - place) where it belongs. */
export function placeOf(jobs: readonly Job[], job: Job): number {
  let low = 0
  let high = jobs.length
  while (low < high) {
    const middle = (low + high) >> 1
    const order = newestFirst(jobs[middle] as Job, job)
    if (order === 0) return middle
    if (order < 0) low = middle + 1
    else high = middle
  }
  return -1 - low
}

/**
 * The list after these jobs came or changed; those that `isShown` refuses leave it. Jobs behind the last one that is
 * loaded come with the next page: `hasMore`.
 */
export function merged(
  jobs: readonly Job[],
  changed: Iterable<Job>,
  isShown: (job: Job) => boolean,
  hasMore: boolean,
): Job[] {
  const result = [...jobs]
  for (const job of changed) {
    const place = placeOf(result, job)
    if (place >= 0) {
      if (isShown(job)) result[place] = job
      else result.splice(place, 1)
    } else if (isShown(job) && !(hasMore && -1 - place === result.length)) {
      result.splice(-1 - place, 0, job)
    }
  }
  return result
}
