// Light or dark: as the system says, until the reader says otherwise.
import { createStore } from '../client/store.ts'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'scoreline.theme'
const ORDER: readonly Theme[] = ['system', 'light', 'dark']

export const theme = createStore<Theme>(ORDER.find((name) => name === localStorage.getItem(KEY)) ?? 'system')

export function nextTheme(): void {
  theme.set(ORDER[(ORDER.indexOf(theme.get()) + 1) % ORDER.length] as Theme)
  localStorage.setItem(KEY, theme.get())
}

/** Keeps the document in the theme that is chosen. */
export function applyTheme(): void {
  const apply = (): void => {
    document.documentElement.dataset.theme = theme.get()
  }
  theme.subscribe(apply)
  apply()
}

/** Whether the page is dark now, whoever decided it. */
export function isDark(): boolean {
  const chosen = theme.get()
  return chosen === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : chosen === 'dark'
}
