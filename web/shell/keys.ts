// Single keys that do something, while nobody is typing. The pages add theirs; `?` lists them all.
import { useLayoutEffect } from 'preact/hooks'

export interface KeyAction {
  readonly key: string
  readonly does: string
  readonly run: () => void
}

const active = new Set<KeyAction>()

/** What the keys do now, for the list of them. */
export function activeKeys(): KeyAction[] {
  return [...active]
}

/** These keys work while the component is there, and on what it shows: from the moment that it is shown. */
export function useKeys(actions: readonly KeyAction[]): void {
  useLayoutEffect(() => {
    for (const action of actions) active.add(action)
    return () => {
      for (const action of actions) active.delete(action)
    }
  })
}

export function listenToKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return
    const action = [...active].reverse().find(({ key }) => key === event.key)
    if (!action) return
    event.preventDefault()
    action.run()
  })
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0] as HTMLElement
  if (target.isContentEditable || target.closest?.('dialog')) return true
  // Enter on a link or a button is theirs.
  // Of a list's row, which is chosen with the focus, that is for the page.
  if (event.key === 'Enter' && target.closest?.('.job-row')) return false
  if (event.key === 'Enter')
    return target !== document.body && target.matches?.('a, button, input, select, textarea, summary')
  return target.matches?.('input, select, textarea')
}
