// Whether the job runs once, or by the clock.

import type { Draft, Fault } from './draft.ts'
import { Faults } from './faults.tsx'

export interface ScheduleFormProps {
  readonly schedule: Draft['schedule']
  readonly faults: readonly Fault[]
  readonly onChange: (schedule: Draft['schedule']) => void
}

export function ScheduleForm({ schedule, faults, onChange }: ScheduleFormProps) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
  return (
    <section class="section">
      <h2>When</h2>
      <div class="chips">
        <button type="button" class="chip" aria-pressed={schedule === null} onClick={() => onChange(null)}>
          Once, now
        </button>
        <button
          type="button"
          class="chip"
          aria-pressed={schedule !== null}
          onClick={() => onChange({ cron: '0 2 * * *', timezone: here })}
        >
          By the clock
        </button>
      </div>
      {schedule ? (
        <div class="fields">
          <div class="grow">
            <label for="cron">Cron</label>
            <input
              id="cron"
              class="mono"
              value={schedule.cron}
              aria-describedby="cron-note"
              onInput={(event) => onChange({ ...schedule, cron: event.currentTarget.value })}
            />
          </div>
          <div class="grow">
            <label for="zone">Time zone</label>
            <input
              id="zone"
              value={schedule.timezone}
              onInput={(event) => onChange({ ...schedule, timezone: event.currentTarget.value })}
            />
          </div>
          <p id="cron-note" class="muted small">
            Minute, hour, day of the month, month, day of the week; 0 2 * * * is every night at two.
          </p>
        </div>
      ) : null}
      <Faults id="schedule-faults" faults={faults} />
    </section>
  )
}
