// The list of jobs for one filter: its pages as they are asked for, and every change live.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { request } from '../client/api.ts'
import { onGone, onJobs, onMissed } from '../client/live-jobs.ts'
import type { Job, Page } from '../client/types.ts'
import { type Filter, isShown } from './filter.ts'
import { merged } from './job-order.ts'

/** Small enough to be drawn without a pause. */
const FIRST_PAGE = 100
const NEXT_PAGE = 250

export interface JobList {
  readonly jobs: readonly Job[]
  readonly hasMore: boolean
  readonly loading: boolean
  readonly error: Error | null
  /** Loads the next page, unless it is on its way. */
  readonly more: () => void
  readonly again: () => void
}

interface State {
  readonly jobs: readonly Job[]
  readonly next: string | null
  readonly loading: boolean
  readonly error: Error | null
}

const NOTHING: State = { jobs: [], next: null, loading: true, error: null }

export function useJobList(filter: Filter): JobList {
  const [state, setState] = useState<State>(NOTHING)
  const [turn, setTurn] = useState(0)
  const busy = useRef(false)
  const current = useRef<AbortController | null>(null)
  const again = useCallback(() => setTurn((count) => count + 1), [])

  const load = useCallback(
    async (after: string | null, signal: AbortSignal) => {
      busy.current = true
      try {
        const page = await request<Page<Job>>(pagePath(filter, after), { signal })
        const shown = (job: Job): boolean => isShown(job, filter)
        setState((before) => ({
          jobs: after === null ? page.data : merged(before.jobs, page.data, shown, false),
          next: page.next,
          loading: false,
          error: null,
        }))
      } catch (error) {
        if (!signal.aborted) setState((before) => ({ ...before, loading: false, error: error as Error }))
      } finally {
        if (!signal.aborted) busy.current = false
      }
    },
    [filter],
  )

  useEffect(() => {
    const stop = new AbortController()
    current.current = stop
    // What is there stays visible until the first page of the new filter comes.
    setState((before) => ({ ...before, loading: true }))
    load(null, stop.signal)
    return () => stop.abort()
  }, [load, turn])

  useEffect(() => onMissed(again), [again])
  useEffect(
    () =>
      onGone((jobId) =>
        setState((before) => ({ ...before, jobs: before.jobs.filter(({ job_id }) => job_id !== jobId) })),
      ),
    [],
  )
  useEffect(
    () =>
      onJobs((changed) =>
        setState((before) => ({
          ...before,
          jobs: merged(before.jobs, changed.values(), (job) => isShown(job, filter), before.next !== null),
        })),
      ),
    [filter],
  )

  const more = useCallback(() => {
    if (!busy.current && state.next !== null && current.current) load(state.next, current.current.signal)
  }, [load, state.next])

  return { jobs: state.jobs, hasMore: state.next !== null, loading: state.loading, error: state.error, more, again }
}

function pagePath({ states, model, text }: Filter, after: string | null): string {
  const query = new URLSearchParams({ limit: String(after === null ? FIRST_PAGE : NEXT_PAGE) })
  if (states.length) query.set('status', states.join(','))
  if (model) query.set('model_id', model)
  if (text) query.set('search', text)
  if (after !== null) query.set('after', after)
  return `/api/v1/inference/batch?${query}`
}
