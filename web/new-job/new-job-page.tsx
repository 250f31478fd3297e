// New job: query, model, destination; checked as they are written.
import { useEffect, useState } from 'preact/hooks'
import { request } from '../client/api.ts'
import { usePoll } from '../client/poll.ts'
import { useStore } from '../client/store.ts'
import type { Model } from '../client/types.ts'
import { Icon } from '../parts/icons.tsx'
import { announce, Empty, Failure } from '../parts/notices.tsx'
import { address, go } from '../shell/router.ts'
import { useTitle } from '../shell/title.ts'
import { bodyOf, type Draft, draftOf, type Fault, faultsOf, isWorthAsking, NEW_DRAFT, NEW_OUTPUT } from './draft.ts'
import { Faults } from './faults.tsx'
import { OutputForm } from './output-form.tsx'
import { Preview } from './preview.tsx'
import { ScheduleForm } from './schedule-form.tsx'
import { SqlField } from './sql-field.tsx'
import { faultsIn, useValidation } from './use-validation.ts'

export function NewJobPage() {
  useTitle('New job')
  const from = useStore(address, (path) => new URLSearchParams(path.split('?')[1] ?? '').get('from'))
  const models = usePoll<{ data: Model[] }>('/api/v1/models')
  const earlier = usePoll<Record<string, unknown>>(from ? `/api/v1/inference/batch/${from}/request` : null)
  if (models.error) return <Failure error={models.error} again={models.again} />
  if (earlier.error) return <Failure error={earlier.error} again={earlier.again} />
  if (!models.data || (from && !earlier.data)) return <p class="muted">Loading…</p>
  if (!models.data.data.length)
    return (
      <Empty title="A job needs a model">
        <p>There is none yet. Register an ONNX file first; then come back here.</p>
        <p>
          <a class="button primary" href="/models">
            Register a model
          </a>
        </p>
      </Empty>
    )
  const first = { ...NEW_DRAFT, model: models.data.data.length === 1 ? (models.data.data[0]?.model_id ?? '') : '' }
  return <Form key={from} models={models.data.data} first={earlier.data ? draftOf(earlier.data) : first} />
}

function Form({ models, first }: { models: readonly Model[]; first: Draft }) {
  const [draft, setDraft] = useState(first)
  const [refused, setRefused] = useState<readonly Fault[]>([])
  const [sending, setSending] = useState(false)
  const validation = useValidation(draft)
  useEffect(() => setRefused([]), [draft])
  const faults = [...validation.faults, ...refused]
  const change = (part: Partial<Draft>): void => setDraft({ ...draft, ...part })
  const model = models.find(({ model_id }) => model_id === draft.model.split('@')[0])

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setSending(true)
    try {
      const made = await request<{ job_id?: string; schedule_id?: string }>('/api/v1/inference/batch', {
        body: bodyOf(draft),
        // A second press of the button makes no second job.
        headers: { 'idempotency-key': crypto.randomUUID() },
      })
      announce(`Submitted ${made.job_id ?? made.schedule_id}`)
      go(made.job_id ? `/jobs/${made.job_id}` : '/schedules')
    } catch (error) {
      setRefused(faultsIn(error as Error))
      setSending(false)
    }
  }

  return (
    <form class="new-job" onSubmit={submit}>
      <div class="page-head">
        <h1>New job</h1>
        <button type="submit" class="button primary" disabled={sending || !isWorthAsking(draft) || !validation.valid}>
          <Icon name="play" />
          {draft.schedule ? 'Make the schedule' : 'Submit'}
        </button>
      </div>
      <Faults id="faults" faults={faultsOf(faults, '')} />
      <div class="new-columns">
        <div>
          <section class="section">
            <label for="model">Model</label>
            <select
              id="model"
              value={draft.model}
              aria-invalid={faultsOf(faults, 'model').length > 0}
              onChange={(event) => change({ model: event.currentTarget.value })}
            >
              <option value="" disabled>
                Choose one
              </option>
              {models.map(({ model_id, version }) => (
                <option key={model_id} value={model_id}>
                  {model_id} (version {version})
                </option>
              ))}
            </select>
            {model ? (
              <p class="muted">
                Wants {(model.features.length ? model.features : model.inputs.map(({ name }) => name)).join(', ')}.
              </p>
            ) : null}
            <Faults id="model-faults" faults={faultsOf(faults, 'model')} />
          </section>
          <section class="section">
            <h2>Query</h2>
            <SqlField
              value={draft.query}
              fault={faultsOf(faults, 'query')[0]?.detail ?? ''}
              onChange={(query) => setDraft((before) => ({ ...before, query }))}
            />
            <Faults id="query-faults" faults={faultsOf(faults, 'query')} />
            <label for="key">Key column</label>
            <input
              id="key"
              class="mono"
              value={draft.keyColumn}
              placeholder="none"
              aria-describedby="key-note"
              onInput={(event) => change({ keyColumn: event.currentTarget.value })}
            />
            <p id="key-note" class="muted small">
              Unique and never NULL: a read that was cut off then goes on where it was.
            </p>
            <Faults id="key-faults" faults={faultsOf(faults, 'key')} />
          </section>
          <section class="section">
            <h2>Where the predictions go</h2>
            {draft.outputs.map((output, i) => (
              <OutputForm
                key={i}
                index={i}
                output={output}
                faults={faultsOf(faults, `output${i}`)}
                onChange={(next) => change({ outputs: draft.outputs.with(i, next) })}
                onRemove={draft.outputs.length > 1 ? () => change({ outputs: draft.outputs.toSpliced(i, 1) }) : null}
              />
            ))}
            <button
              type="button"
              class="button small"
              onClick={() => change({ outputs: [...draft.outputs, NEW_OUTPUT] })}
            >
              <Icon name="plus" />
              One more destination
            </button>
          </section>
          <ScheduleForm
            schedule={draft.schedule}
            faults={faultsOf(faults, 'schedule')}
            onChange={(schedule) => change({ schedule })}
          />
        </div>
        <Preview validation={validation} model={model} />
      </div>
    </form>
  )
}
