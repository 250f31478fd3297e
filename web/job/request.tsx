// The job's request, to take along: as curl, as a record for the commands topic, for the command line.
import { useState } from 'preact/hooks'
import { access } from '../client/api.ts'
import { usePoll } from '../client/poll.ts'
import { useStore } from '../client/store.ts'
import type { Job } from '../client/types.ts'
import { Snippet } from '../parts/copy.tsx'
import { Failure } from '../parts/notices.tsx'
import { cliLine, curlLine, kafkaRecord } from './copyables.ts'

const FORMS = ['JSON', 'curl', 'Kafka record', 'Command line'] as const
type Form = (typeof FORMS)[number]

export function Request({ job }: { job: Job }) {
  const [form, setForm] = useState<Form>('JSON')
  const guarded = useStore(access, ({ key }) => key !== null)
  const { data, error } = usePoll<Record<string, unknown>>(`/api/v1/inference/batch/${job.job_id}/request`)
  if (error) return <Failure error={error} />
  if (!data) return <p class="muted">Loading…</p>
  return (
    <>
      <fieldset class="chips">
        <legend class="unseen">Form of the request</legend>
        {FORMS.map((name) => (
          <button key={name} type="button" class="chip" aria-pressed={name === form} onClick={() => setForm(name)}>
            {name}
          </button>
        ))}
      </fieldset>
      <Snippet text={textOf(form, data, guarded)} what={`the request as ${form}`} />
      {form === 'Kafka record' ? <p class="muted">A value for the topic commands.v1; the key is the tenant.</p> : null}
    </>
  )
}

function textOf(form: Form, body: Record<string, unknown>, guarded: boolean): string {
  const place = { origin: location.origin, guarded }
  if (form === 'curl') return curlLine(body, place)
  if (form === 'Kafka record') return kafkaRecord(body)
  if (form === 'Command line') return cliLine(body, place)
  return JSON.stringify(body, null, 2)
}
