// What happened to the job, from its submission to its end.
import type { Job } from '../client/types.ts'
import { duration } from '../parts/format.ts'
import { Time } from '../parts/time.tsx'
import { timelineOf } from './moments.ts'

export function Timeline({ job, now }: { job: Job; now: number }) {
  return (
    <ol class="timeline">
      {timelineOf(job, now).map((moment) => (
        <li key={`${moment.at}${moment.title}`} class={moment.tone}>
          <div class="moment">
            <strong>{moment.title}</strong>
            <Time at={moment.at} />
          </div>
          {moment.detail === null ? null : <p class="muted">{moment.detail}</p>}
          {moment.lastedMs === null ? null : <p class="lasted number">{duration(moment.lastedMs)}</p>}
        </li>
      ))}
    </ol>
  )
}
