// A value that parts of the page share, and the hook that draws them again when what they look at has changed.
import { useEffect, useReducer, useRef } from 'preact/hooks'

export interface Store<T> {
  get(): T
  set(value: T): void
  subscribe(listener: () => void): () => void
}

export function createStore<T>(first: T): Store<T> {
  let value = first
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return
      value = next
      for (const listener of [...listeners]) listener()
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** What `pick` finds in the store, now and after each change of it. */
export function useStore<T, U = T>(store: Store<T>, pick: (value: T) => U = (value) => value as unknown as U): U {
  const [, draw] = useReducer((count: number) => count + 1, 0)
  const picked = pick(store.get())
  const last = useRef({ picked, pick })
  last.current = { picked, pick }
  useEffect(() => {
    const check = (): void => {
      if (!Object.is(last.current.pick(store.get()), last.current.picked)) draw(null)
    }
    // What changed between drawing and listening.
    check()
    return store.subscribe(check)
  }, [store])
  return picked
}
