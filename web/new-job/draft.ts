// A job as it is being written: what the form holds, the request that it stands for, and which field a fault belongs to. Pure.

export const DESTINATIONS = ['table', 'parquet', 'csv', 'kafka'] as const
export type Destination = (typeof DESTINATIONS)[number]

/** The modes of each destination, its usual one first. */
export const MODES: Record<Destination, readonly string[]> = {
  table: ['overwrite', 'append', 'upsert', 'error'],
  parquet: ['overwrite', 'append', 'error'],
  csv: ['overwrite', 'append', 'error'],
  kafka: ['append'],
}

export interface DraftOutput {
  readonly destination: Destination
  /** Table name, path or topic. */
  readonly place: string
  readonly mode: string
  /** What a request had beside these, taken along as it was. */
  readonly more: Readonly<Record<string, unknown>>
}

export interface Draft {
  readonly model: string
  readonly query: string
  readonly keyColumn: string
  readonly outputs: readonly DraftOutput[]
  /** Null: once, now. */
  readonly schedule: { readonly cron: string; readonly timezone: string } | null
  readonly moreInput: Readonly<Record<string, unknown>>
  readonly config: Readonly<Record<string, unknown>>
}

export const NEW_OUTPUT: DraftOutput = { destination: 'table', place: '', mode: 'overwrite', more: {} }

export const NEW_DRAFT: Draft = {
  model: '',
  query: '',
  keyColumn: '',
  outputs: [NEW_OUTPUT],
  schedule: null,
  moreInput: {},
  config: {},
}

const PLACES: Record<Destination, string> = { table: 'table_name', parquet: 'path', csv: 'path', kafka: 'topic' }

/** The body of the submission. */
export function bodyOf({
  model,
  query,
  keyColumn,
  outputs,
  schedule,
  moreInput,
  config,
}: Draft): Record<string, unknown> {
  const written = outputs.map(({ destination, place, mode, more }) => ({
    ...more,
    destination,
    ...(place ? { [PLACES[destination]]: place } : {}),
    mode,
  }))
  return {
    model_id: model,
    input: { ...moreInput, source: 'sql', query, ...(keyColumn ? { key_column: keyColumn } : {}) },
    ...(written.length === 1 ? { output: written[0] } : { outputs: written }),
    ...(Object.keys(config).length ? { config } : {}),
    ...(schedule ? { schedule } : {}),
  }
}

/** The draft of a request, to be changed and submitted anew. */
export function draftOf(request: Readonly<Record<string, unknown>>): Draft {
  const { source: _, query = '', key_column = '', ...moreInput } = (request.input ?? {}) as Record<string, unknown>
  const outputs = [...(request.output ? [request.output] : []), ...((request.outputs as unknown[]) ?? [])]
  return {
    model: String(request.model_id ?? ''),
    query: String(query),
    keyColumn: String(key_column),
    outputs: outputs.map((output) => draftOutput(output as Record<string, unknown>)),
    schedule: null,
    moreInput,
    config: (request.config ?? {}) as Record<string, unknown>,
  }
}

function draftOutput(output: Readonly<Record<string, unknown>>): DraftOutput {
  const destination = DESTINATIONS.find((name) => name === output.destination) ?? 'table'
  const { destination: _, mode, [PLACES[destination]]: place = '', ...more } = output
  return { destination, place: String(place), mode: String(mode ?? MODES[destination][0]), more }
}

/** The output with another destination: what belonged to the first one goes. */
export function withDestination(output: DraftOutput, destination: Destination): DraftOutput {
  const mode = MODES[destination].includes(output.mode) ? output.mode : (MODES[destination][0] as string)
  return { destination, place: output.place, mode, more: {} }
}

/** Whether there is enough for the service to say more than that something is missing. */
export function isWorthAsking({ model, query, outputs }: Draft): boolean {
  return model !== '' && query.trim() !== '' && outputs.every(({ place }) => place !== '')
}

export type Fault = { readonly pointer: string; readonly detail: string }

/** The faults of one field; those that no field shows are under ''. */
export function faultsOf(
  faults: readonly Fault[],
  field: 'model' | 'query' | 'key' | 'schedule' | `output${number}` | '',
): Fault[] {
  return faults.filter(({ pointer }) => fieldOf(pointer) === field)
}

function fieldOf(pointer: string): string {
  if (pointer.startsWith('/model_id')) return 'model'
  if (pointer.startsWith('/input/key_column')) return 'key'
  if (pointer.startsWith('/input')) return 'query'
  if (pointer.startsWith('/schedule')) return 'schedule'
  if (/^\/output(\/|$)/.test(pointer)) return 'output0'
  const [, index] = /^\/outputs\/(\d+)/.exec(pointer) ?? []
  return index === undefined ? '' : `output${index}`
}
