// Models: what is registered, what each takes and gives, how fast it was lately; a new version by dropping a file.
import { useState } from 'preact/hooks'
import { usePoll } from '../client/poll.ts'
import type { Job, Model, Page } from '../client/types.ts'
import { DataTable, type TableColumn } from '../parts/data-table.tsx'
import { bytes, short } from '../parts/format.ts'
import { Empty, Failure } from '../parts/notices.tsx'
import { Time } from '../parts/time.tsx'
import { useTitle } from '../shell/title.ts'
import { measuredRates } from './measured-rates.ts'
import { tensorText } from './tensor-text.ts'
import { Upload } from './upload.tsx'

export function ModelsPage() {
  useTitle('Models')
  const { data, error, again } = usePoll<{ data: Model[] }>('/api/v1/models', 10_000)
  if (error && !data) return <Failure error={error} again={again} />
  if (!data) return <p class="muted">Loading…</p>
  return (
    <>
      <div class="page-head">
        <h1>Models</h1>
      </div>
      <Upload onDone={again} />
      {data.data.length ? (
        data.data.map((model) => <ModelCard key={model.model_id} model={model} />)
      ) : (
        <Empty title="No model yet">
          <p>Drop an ONNX file above. scikit-learn, XGBoost and PyTorch all export them.</p>
        </Empty>
      )}
    </>
  )
}

function ModelCard({ model }: { model: Model }) {
  const [open, setOpen] = useState(false)
  const path = encodeURIComponent(model.model_id)
  const done = usePoll<Page<Job>>(`/api/v1/inference/batch?model_id=${path}&status=completed&limit=50`)
  const versions = usePoll<{ versions: Model[] }>(open ? `/api/v1/models/${path}` : null)
  const rates = measuredRates(done.data?.data ?? [])
  const rate = rates.get(model.version)
  return (
    <section class="section model">
      <div class="section-head">
        <h2>
          {model.model_id} <small>version {model.version}</small>
        </h2>
        <span class="muted">
          {rate === undefined ? (
            'not measured yet'
          ) : (
            <>
              <b class="number">{short(rate)}</b> rows/s in its last jobs
            </>
          )}{' '}
          · {bytes(model.bytes)} · <Time at={model.registered_at} />
        </span>
      </div>
      <dl class="facts">
        <div>
          <dt>Takes</dt>
          <dd class="mono">{model.inputs.map(tensorText).join(', ')}</dd>
        </div>
        {model.features.length ? (
          <div>
            <dt>Features</dt>
            <dd class="mono">{model.features.join(', ')}</dd>
          </div>
        ) : null}
        <div>
          <dt>Gives</dt>
          <dd class="mono">{model.outputs.map(tensorText).join(', ')}</dd>
        </div>
      </dl>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Versions</summary>
        {versions.data ? (
          <DataTable
            label={`Versions of ${model.model_id}`}
            columns={columnsWith(rates)}
            rows={versions.data.versions}
            keyOf={({ version }) => version}
          />
        ) : null}
      </details>
    </section>
  )
}

function columnsWith(rates: ReadonlyMap<number, number>): TableColumn<Model>[] {
  const rate = ({ version }: Model): number => rates.get(version) ?? 0
  return [
    { name: 'Version', cell: ({ version }) => version, by: ({ version }) => version, number: true },
    { name: 'Rows/s', cell: (model) => (rate(model) ? short(rate(model)) : '–'), by: rate, number: true },
    { name: 'Size', cell: (model) => bytes(model.bytes), by: (model) => model.bytes, number: true },
    { name: 'Registered', cell: (model) => <Time at={model.registered_at} />, by: (model) => model.registered_at },
    {
      name: 'SHA-256',
      cell: ({ sha256 }) => (
        <span class="mono" title={sha256}>
          {sha256.slice(0, 12)}…
        </span>
      ),
    },
  ]
}
