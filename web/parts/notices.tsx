// What a page says when it has nothing, cannot load, or has done something.
import type { ComponentChildren } from 'preact'
import { createStore, useStore } from '../client/store.ts'
import { Icon } from './icons.tsx'

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** A failure with what can be done about it. */
export function Failure({ error, again }: { error: Error; again?: () => void }) {
  return (
    <div class="callout bad" role="alert">
      <Icon name="warn" />
      <div>
        <p>{error.message}</p>
        {again ? (
          <button type="button" class="button small" onClick={again}>
            Try again
          </button>
        ) : null}
      </div>
    </div>
  )
}

const SHOWN_MS = 6_000
const message = createStore<{ text: string; bad: boolean } | null>(null)
let timer: ReturnType<typeof setTimeout> | undefined

/** Tells for a moment what was done, also to screen readers. */
export function announce(text: string, bad = false): void {
  message.set({ text, bad })
  clearTimeout(timer)
  timer = setTimeout(() => message.set(null), SHOWN_MS)
}

export function Announcer() {
  const said = useStore(message)
  return (
    <div class="announcer" role="status">
      {said ? <div class={`announcement ${said.bad ? 'bad' : ''}`}>{said.text}</div> : null}
    </div>
  )
}
