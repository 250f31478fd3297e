// Says when the service cannot be reached, since when what is shown is old, and when it is tried again.
import { createStore, useStore } from '../client/store.ts'
import { duration } from '../parts/format.ts'
import { Icon } from '../parts/icons.tsx'
import { useNow } from '../parts/time.tsx'

/** Null: connected. */
export const lost = createStore<{ since: number; retryAt: number } | null>(null)

export function ConnectionBanner() {
  const state = useStore(lost)
  return <div role="alert">{state ? <Banner {...state} /> : null}</div>
}

function Banner({ since, retryAt }: { since: number; retryAt: number }) {
  const now = useNow(250)
  const wait = retryAt - now
  return (
    <div class="banner">
      <Icon name="warn" />
      <span>
        No connection to the service. What you see is from {duration(now - since)} ago;{' '}
        {wait > 250 ? `trying again in ${Math.ceil(wait / 1000)} s` : 'trying again…'}
      </span>
    </div>
  )
}
