// One destination of a new job.
import { Icon } from '../parts/icons.tsx'
import { DESTINATIONS, type Destination, type DraftOutput, type Fault, MODES, withDestination } from './draft.ts'
import { Faults } from './faults.tsx'

const NAMES: Record<Destination, { name: string; place: string; example: string }> = {
  table: { name: 'Table', place: 'Table', example: 'predictions.churn_scores' },
  parquet: { name: 'Parquet files', place: 'Path', example: 'churn-scores/' },
  csv: { name: 'CSV files', place: 'Path', example: 'churn-scores/' },
  kafka: { name: 'Kafka topic', place: 'Topic', example: 'predictions.churn' },
}

export interface OutputFormProps {
  readonly index: number
  readonly output: DraftOutput
  readonly faults: readonly Fault[]
  readonly onChange: (output: DraftOutput) => void
  readonly onRemove: (() => void) | null
}

export function OutputForm({ index, output, faults, onChange, onRemove }: OutputFormProps) {
  const { place, example } = NAMES[output.destination]
  const id = (name: string): string => `output-${index}-${name}`
  return (
    <fieldset class="output-form">
      <legend class="unseen">Destination {index + 1}</legend>
      <div class="chips">
        {DESTINATIONS.map((destination) => (
          <button
            key={destination}
            type="button"
            class="chip"
            aria-pressed={destination === output.destination}
            onClick={() => onChange(withDestination(output, destination))}
          >
            {NAMES[destination].name}
          </button>
        ))}
        {onRemove ? (
          <button type="button" class="icon-button" aria-label={`Remove destination ${index + 1}`} onClick={onRemove}>
            <Icon name="cross" />
          </button>
        ) : null}
      </div>
      <div class="fields">
        <div class="grow">
          <label for={id('place')}>{place}</label>
          <input
            id={id('place')}
            class="mono"
            placeholder={example}
            value={output.place}
            aria-invalid={faults.length > 0}
            aria-describedby={id('faults')}
            onInput={(event) => onChange({ ...output, place: event.currentTarget.value })}
          />
        </div>
        <div>
          <label for={id('mode')}>Mode</label>
          <select
            id={id('mode')}
            value={output.mode}
            onChange={(event) => onChange({ ...output, mode: event.currentTarget.value })}
          >
            {MODES[output.destination].map((mode) => (
              <option key={mode}>{mode}</option>
            ))}
          </select>
        </div>
      </div>
      <Faults id={id('faults')} faults={faults} />
    </fieldset>
  )
}
