// A job's state as a badge: colour, shape and word say the same.
import type { JobState } from '../client/types.ts'
import { Icon, type IconName } from './icons.tsx'

const LOOK: Record<JobState, { icon: IconName; tone: string }> = {
  submitted: { icon: 'wait', tone: 'calm' },
  preparing: { icon: 'wait', tone: 'live' },
  running: { icon: 'play', tone: 'live' },
  completing: { icon: 'play', tone: 'live' },
  completed: { icon: 'check', tone: 'good' },
  failed: { icon: 'cross', tone: 'bad' },
  cancelled: { icon: 'stop', tone: 'calm' },
}

export function StateBadge({ state }: { state: JobState }) {
  const { icon, tone } = LOOK[state]
  return (
    <span class={`badge ${tone}`}>
      <Icon name={icon} />
      {state}
    </span>
  )
}
