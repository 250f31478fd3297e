// Registers a model: drop a file or choose one, say what it is called and which columns it takes.
import { useRef, useState } from 'preact/hooks'
import { request } from '../client/api.ts'
import type { Model } from '../client/types.ts'
import { bytes } from '../parts/format.ts'
import { Icon } from '../parts/icons.tsx'
import { announce } from '../parts/notices.tsx'
import { idOfFile } from './tensor-text.ts'

export function Upload({ onDone }: { onDone: () => void }) {
  const [file, setFile] = useState<File | null>(null)
  const [over, setOver] = useState(false)
  const chooser = useRef<HTMLInputElement>(null)
  const take = (files: FileList | null | undefined): void => {
    const [first] = files ?? []
    if (first) setFile(first)
  }
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setOver(false)
    take(event.dataTransfer?.files)
  }
  return (
    <section
      aria-label="Register a model"
      class={`card drop ${over ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <input
        ref={chooser}
        type="file"
        accept=".onnx"
        class="unseen"
        aria-label="An ONNX file"
        tabIndex={-1}
        onChange={(event) => take(event.currentTarget.files)}
      />
      {file ? (
        <Naming
          key={file.name}
          file={file}
          onCancel={() => setFile(null)}
          onDone={() => {
            setFile(null)
            onDone()
          }}
        />
      ) : (
        <p>
          Drop an ONNX file here, or{' '}
          <button type="button" class="button small" onClick={() => chooser.current?.click()}>
            choose one
          </button>
        </p>
      )}
    </section>
  )
}

interface NamingProps {
  readonly file: File
  readonly onCancel: () => void
  readonly onDone: () => void
}

function Naming({ file, onCancel, onDone }: NamingProps) {
  const [id, setId] = useState(idOfFile(file.name))
  const [features, setFeatures] = useState('')
  const [refused, setRefused] = useState<string | null>(null)
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    const query = features.trim() ? `?features=${encodeURIComponent(features)}` : ''
    try {
      const { model_id, version } = await request<Model>(`/api/v1/models/${encodeURIComponent(id)}${query}`, {
        method: 'PUT',
        body: file,
        headers: { 'content-type': 'application/octet-stream' },
      })
      announce(`Registered ${model_id}, version ${version}`)
      onDone()
    } catch (error) {
      setRefused((error as Error).message)
    }
  }
  return (
    <form onSubmit={submit}>
      <div class="fields">
        <div class="grow">
          <label for="model-id">Model id</label>
          <input id="model-id" class="mono" required value={id} onInput={(event) => setId(event.currentTarget.value)} />
        </div>
        <div class="grow wide">
          <label for="features">Features, in order</label>
          <input
            id="features"
            class="mono"
            value={features}
            placeholder="tenure, monthly_charges, …"
            aria-describedby="features-note"
            onInput={(event) => setFeatures(event.currentTarget.value)}
          />
        </div>
        <button type="submit" class="button primary">
          <Icon name="plus" />
          Register {bytes(file.size)}
        </button>
        <button type="button" class="button" onClick={onCancel}>
          Not now
        </button>
      </div>
      <p id="features-note" class="muted small">
        The query columns that make up the model's one tensor input; leave it empty for a model with an input for each
        column.
      </p>
      {refused ? (
        <p class="field-error" role="alert">
          {refused}
        </p>
      ) : null}
    </form>
  )
}
