// Which page the address stands for. Links are plain <a href>: one listener turns a click into a change of the address
// without a new load.
import { createStore } from '../client/store.ts'

export type Route =
  | { readonly page: 'jobs' | 'new' | 'models' | 'schedules' | 'workers' | 'kafka' | 'nowhere' }
  | { readonly page: 'job'; readonly jobId: string }

const PAGES = ['new', 'models', 'schedules', 'workers', 'kafka'] as const

export function routeOf(path: string): Route {
  const [first = '', second, ...more] = path.split('/').slice(1)
  if (first === '' && second === undefined) return { page: 'jobs' }
  if (first === 'jobs' && second && !more.length) return { page: 'job', jobId: decodeURIComponent(second) }
  const page = PAGES.find((name) => name === first)
  return page && second === undefined ? { page } : { page: 'nowhere' }
}

export const address = createStore(location.pathname + location.search)

export function go(path: string, replace = false): void {
  if (replace) history.replaceState(null, '', path)
  else history.pushState(null, '', path)
  address.set(path)
}

export function listenToLinks(): void {
  addEventListener('popstate', () => address.set(location.pathname + location.search))
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return
    const link = (event.target as Element).closest?.('a')
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
    if (routeOf(link.pathname).page === 'nowhere') return
    event.preventDefault()
    go(link.pathname + link.search)
  })
}
