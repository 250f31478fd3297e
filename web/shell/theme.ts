// How the page looks: light or dark as the system says until the reader says otherwise; and how much fits into it.
import { createStore, type Store } from '../client/store.ts'

export type Theme = 'system' | 'light' | 'dark'
export type Density = 'roomy' | 'compact'

const THEMES: readonly Theme[] = ['system', 'light', 'dark']
const DENSITIES: readonly Density[] = ['roomy', 'compact']

export const theme = keptStore('scoreline.theme', THEMES)
export const density = keptStore('scoreline.density', DENSITIES)

export function nextTheme(): void {
  theme.set(THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length] as Theme)
}

export function nextDensity(): void {
  density.set(density.get() === 'compact' ? 'roomy' : 'compact')
}

/** Keeps the document as it is chosen. */
export function applyLook(): void {
  const { dataset } = document.documentElement
  const apply = (): void => {
    dataset.theme = theme.get()
    dataset.density = density.get()
  }
  theme.subscribe(apply)
  density.subscribe(apply)
  apply()
}

/** What was chosen is there at the next visit. The first of `values` is what nobody has chosen. */
function keptStore<T extends string>(key: string, values: readonly T[]): Store<T> {
  const store = createStore<T>(values.find((value) => value === localStorage.getItem(key)) ?? (values[0] as T))
  store.subscribe(() => localStorage.setItem(key, store.get()))
  return store
}
