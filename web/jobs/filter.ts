// What the list of jobs shows, as it is in the page's address. Pure. The API answers with the pages of a filter; a change
// that comes live is held against the same rules here.
import { type Job, type JobState, STATES } from '../client/types.ts'

export interface Filter {
  readonly states: readonly JobState[]
  readonly model: string
  /** Part of an id, a model, or the name of a table, path or topic. */
  readonly text: string
}

export const EVERYTHING: Filter = { states: [], model: '', text: '' }

export function filterOf(search: string): Filter {
  const query = new URLSearchParams(search)
  const named = (query.get('state') ?? '').split(',')
  return {
    states: STATES.filter((state) => named.includes(state)),
    model: query.get('model') ?? '',
    text: query.get('text') ?? '',
  }
}

/** The page's query, without what is not asked for. */
export function searchOf({ states, model, text }: Filter): string {
  const query = new URLSearchParams()
  if (states.length) query.set('state', states.join(','))
  if (model) query.set('model', model)
  if (text) query.set('text', text)
  return query.size ? `?${query}` : ''
}

export function isShown(job: Job, { states, model, text }: Filter): boolean {
  if (states.length && !states.includes(job.status)) return false
  if (model && job.model_id !== model) return false
  return text === '' || searchable(job).includes(text.toLowerCase())
}

function searchable(job: Job): string {
  const places = job.outputs.map(({ output }) => placeText(output))
  return [job.job_id, `${job.model_id}@${job.model_version}`, ...places].join('\n').toLowerCase()
}

/** An output in a word: its table, path or topic. */
export function placeText(output: Readonly<Record<string, unknown>>): string {
  return String(output.table_name ?? output.topic ?? output.path ?? output.destination)
}
