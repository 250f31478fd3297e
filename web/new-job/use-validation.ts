// What the service says of a draft, a moment after the last change of it: the same checks as a submission, without one.
import { useEffect, useState } from 'preact/hooks'
import { ApiProblem, request } from '../client/api.ts'
import { bodyOf, type Draft, type Fault, isWorthAsking } from './draft.ts'

const STILL_MS = 450

export interface Valid {
  readonly model_version: number
  readonly input_row_count: number
  readonly input_row_count_estimated: boolean
  readonly estimated_duration_minutes: number
  readonly query_columns: readonly { name: string; type: string }[]
  readonly columns: readonly (readonly { name: string; type: string }[])[]
  readonly sample: readonly Record<string, unknown>[] | null
  readonly sample_errors: readonly string[]
  readonly next_firings?: readonly string[]
}

export interface Validation {
  readonly asking: boolean
  /** Of the draft as it is now, or as it was while `asking`. */
  readonly valid: Valid | null
  readonly faults: readonly Fault[]
}

const NOTHING: Validation = { asking: false, valid: null, faults: [] }

export function useValidation(draft: Draft): Validation {
  const [state, setState] = useState<Validation>(NOTHING)
  useEffect(() => {
    if (!isWorthAsking(draft)) {
      setState(NOTHING)
      return
    }
    const stop = new AbortController()
    setState((before) => ({ ...before, asking: true }))
    const timer = setTimeout(async () => {
      try {
        const valid = await request<Valid>('/api/v1/inference/batch?validate_only=true', {
          body: bodyOf(draft),
          signal: stop.signal,
        })
        setState({ asking: false, valid, faults: [] })
      } catch (error) {
        if (!stop.signal.aborted) setState({ asking: false, valid: null, faults: faultsIn(error as Error) })
      }
    }, STILL_MS)
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [draft])
  return state
}

/** A problem's faults, or itself as one. */
export function faultsIn(error: Error): readonly Fault[] {
  return error instanceof ApiProblem && error.errors.length ? error.errors : [{ pointer: '', detail: error.message }]
}
