// Whom the end of a job is told, and how far that is.
import type { Job } from '../client/types.ts'
import { many } from '../parts/format.ts'
import { Icon, type IconName } from '../parts/icons.tsx'
import { Time, useNow } from '../parts/time.tsx'

type JobWebhook = NonNullable<Job['webhook']>

const LOOK: Record<JobWebhook['state'], { icon: IconName; tone: string; words: string }> = {
  waiting: { icon: 'wait', tone: 'calm', words: 'waits for the end of the job' },
  pending: { icon: 'play', tone: 'live', words: 'being delivered' },
  delivered: { icon: 'check', tone: 'good', words: 'delivered' },
  failed: { icon: 'cross', tone: 'bad', words: 'given up' },
  not_wanted: { icon: 'stop', tone: 'calm', words: 'not wanted for this end' },
}

export function Webhook({ webhook }: { webhook: JobWebhook }) {
  const { url, events, state, attempts, last_attempt_at, next_attempt_at, last_error } = webhook
  const { icon, tone, words } = LOOK[state]
  const now = useNow()
  return (
    <dl class="facts">
      <div>
        <dt>State</dt>
        <dd>
          <span class={`badge ${tone}`}>
            <Icon name={icon} />
            {words}
          </span>
        </dd>
      </div>
      <div>
        <dt>Address</dt>
        <dd class="mono break">{url}</dd>
      </div>
      <div>
        <dt>Told of</dt>
        <dd>{events.join(', ')}</dd>
      </div>
      {last_attempt_at === null ? null : (
        <div>
          <dt>Tries</dt>
          <dd>
            {many(attempts, 'try', 'tries')}, the last <Time at={last_attempt_at} ago now={now} />
            {next_attempt_at === null ? null : (
              <>
                , the next <Time at={next_attempt_at} ago now={now} />
              </>
            )}
          </dd>
        </div>
      )}
      {last_error === null ? null : (
        <div>
          <dt>Last error</dt>
          <dd class="bad-text break">{last_error}</dd>
        </div>
      )}
    </dl>
  )
}
