// A new job over just the rows of another that failed: by their keys, read again from the database; without a key
// column, as the dead letters have them.
import type { RowText, Source } from '../../../connectors/connector.ts'
import type { Column } from '../../../topics/columns.ts'
import type { JobInput, JobOutput, JobSnapshot } from '../../../topics/jobs.ts'
import { HttpProblem } from '../problem.ts'
import type { FailedRow } from './failed-rows.ts'

/** What a dead letter ends with when it was cut. */
const CUT = '…'

/** The body of the submission; `changes` replaces parts of it. Throws `HttpProblem` when the rows cannot be run again. */
export async function redriveRequest(
  job: JobSnapshot,
  rows: readonly FailedRow[],
  changes: Readonly<Record<string, unknown>>,
  source: Source,
): Promise<Record<string, unknown>> {
  const { source: kind, query, connection, key_column } = await failedInput(job, rows, source)
  return {
    model_id: job.model_id,
    input: { source: kind, query, connection, ...(key_column === null ? {} : { key_column }) },
    ...('output' in changes ? {} : { outputs: job.outputs.map(added) }),
    config: job.config,
    ...(job.webhook ? { webhook: { url: job.webhook.url, events: job.webhook.events } } : {}),
    ...changes,
  }
}

async function failedInput(job: JobSnapshot, rows: readonly FailedRow[], source: Source): Promise<JobInput> {
  const columns = job.plan?.query_columns ?? []
  const keys = rows.flatMap(({ key }) => (key === null ? [] : [key]))
  const column = columns.find(({ name }) => name === job.input.key_column)
  if (column && keys.length === rows.length && !keys.some(isCut)) return source.forKeys(job.input, column, keys)
  const cut = rows.find(({ input }) => Object.values(input).some((cell) => cell !== null && isCut(cell)))
  if (cut) {
    throw new HttpProblem(
      409,
      'row_was_cut',
      `row ${cut.id} has a value too long for its dead letter, so it cannot be run again from there; submit the job with input.key_column, or a query for these rows`,
    )
  }
  return source.ofRows(
    job.input,
    columns,
    rows.map(({ input }) => textsOf(input, columns)),
  )
}

function textsOf(input: RowText, columns: readonly Column[]): RowText {
  return Object.fromEntries(columns.map(({ name }) => [name, input[name] ?? null]))
}

function isCut(text: string): boolean {
  return text.endsWith(CUT)
}

/** The output again, beside what is there: what the first run wrote must stay. */
function added(output: JobOutput): Record<string, unknown> {
  const given = Object.entries(output).filter(([, value]) => value !== null)
  return { ...Object.fromEntries(given), mode: output.mode === 'upsert' ? 'upsert' : 'append' }
}
