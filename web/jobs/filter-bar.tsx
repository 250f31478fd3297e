// The filter of the list: states to press, a model, and a text that is taken up as it is typed.
import type { RefObject } from 'preact'
import { usePoll } from '../client/poll.ts'
import { type JobState, STATES } from '../client/types.ts'
import { Icon } from '../parts/icons.tsx'
import type { Filter } from './filter.ts'

export interface FilterBarProps {
  readonly filter: Filter
  readonly box: RefObject<HTMLInputElement>
  readonly onChange: (filter: Filter) => void
}

/** States that are one thing to whoever looks for jobs. */
const GROUPS: readonly { name: string; states: readonly JobState[] }[] = [
  { name: 'waiting', states: ['submitted'] },
  { name: 'running', states: ['preparing', 'running', 'completing'] },
  { name: 'completed', states: ['completed'] },
  { name: 'failed', states: ['failed'] },
  { name: 'cancelled', states: ['cancelled'] },
]

export function FilterBar({ filter, box, onChange }: FilterBarProps) {
  const models = usePoll<{ data: { model_id: string }[] }>('/api/v1/models')
  const isOn = (states: readonly JobState[]): boolean => states.every((state) => filter.states.includes(state))
  const toggle = (states: readonly JobState[]): void => {
    const on = isOn(states)
    onChange({
      ...filter,
      states: STATES.filter((state) => (states.includes(state) ? !on : filter.states.includes(state))),
    })
  }
  return (
    <div class="filter" role="search" aria-label="Filter the jobs">
      <div class="chips">
        {GROUPS.map(({ name, states }) => (
          <button key={name} type="button" class="chip" aria-pressed={isOn(states)} onClick={() => toggle(states)}>
            {name}
          </button>
        ))}
      </div>
      <select
        aria-label="Model"
        value={filter.model}
        onChange={(event) => onChange({ ...filter, model: event.currentTarget.value })}
      >
        <option value="">every model</option>
        {models.data?.data.map(({ model_id }) => (
          <option key={model_id} value={model_id}>
            {model_id}
          </option>
        ))}
      </select>
      <span class="search-box">
        <Icon name="search" />
        <input
          ref={box}
          type="search"
          placeholder="Search  /"
          aria-label="Search ids, models and destinations"
          value={filter.text}
          onInput={(event) => onChange({ ...filter, text: event.currentTarget.value })}
          onKeyDown={(event) => event.key === 'Escape' && event.currentTarget.blur()}
        />
      </span>
    </div>
  )
}
