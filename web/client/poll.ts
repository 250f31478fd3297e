// Asks the API again and again while a part of the page is there: for what no event tells.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { type ApiProblem, request } from './api.ts'
import { onMissed } from './live-jobs.ts'

export interface Polled<T> {
  readonly data: T | null
  /** Why there is no answer, or no newer one. */
  readonly error: Error | null
  readonly again: () => void
}

/** `everyMs` null: asks once. `path` null: not at all. What is there stays until a newer answer comes. */
export function usePoll<T>(path: string | null, everyMs: number | null = null): Polled<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; error: Error | null }>({
    path,
    data: null,
    error: null,
  })
  const [turn, setTurn] = useState(0)
  const again = useCallback(() => setTurn((count) => count + 1), [])
  const interval = useRef(everyMs)
  interval.current = everyMs
  useEffect(() => {
    if (path === null) return
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async (): Promise<void> => {
      try {
        const data = await request<T>(path, { signal: stop.signal })
        setState({ path, data, error: null })
      } catch (error) {
        if (stop.signal.aborted) return
        setState((before) => ({ path, data: before.path === path ? before.data : null, error: error as Error }))
        // A refusal will not change by asking again.
        const { status } = error as ApiProblem
        if (status >= 400 && status < 500) return
      }
      if (interval.current !== null && !stop.signal.aborted) timer = setTimeout(ask, interval.current)
    }
    ask()
    const off = onMissed(again)
    return () => {
      stop.abort()
      clearTimeout(timer)
      off()
    }
  }, [path, everyMs === null, turn])
  return state.path === path ? { ...state, again } : { data: null, error: null, again }
}
