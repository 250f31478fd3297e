// Jobs and databases of the Postgres tests: what the API and the controller would hand to the connector.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { ConnectorSettings, Sink, SinkJob, SinkResult, Source } from '../../../connectors/connector.ts'
import type { Column, ColumnBatch } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobInput, type JobOutput, type WriteMode } from '../../../topics/jobs.ts'
import { whenFileEnds } from '../../harness/file-end.ts'
import { connectorSettings } from '../settings.ts'

export function jobInput(query: string, more: Partial<JobInput> = {}): JobInput {
  return { source: 'sql', query, connection: 'warehouse', key_column: null, ...more }
}

export function tableOutput(
  table: string | null,
  mode: WriteMode = 'overwrite',
  more: Partial<JobOutput> = {},
): JobOutput {
  return { ...BARE_OUTPUT, destination: 'table', table_name: table, mode, ...more }
}

export function tableJob(output: JobOutput, columns: readonly Column[], more: Partial<SinkJob> = {}): SinkJob {
  const jobId = more.jobId ?? `batch-${randomBytes(6).toString('hex')}`
  return {
    jobId,
    resultId: jobId,
    attempt: 1,
    output,
    columns,
    keyColumn: null,
    chunkRows: 1000,
    lanes: [0],
    model: { id: 'churn', version: 1, sha256: '00' },
    ...more,
  }
}

export function connectTo(url: string): ConnectorSettings {
  return connectorSettings({ connections: { warehouse: url } })
}

/** The same database as another role. */
export function asRole(url: string, role: string): string {
  const other = new URL(url)
  other.username = role
  return other.href
}

/** A client of the test's own, to arrange and to look; closed when the file ends. */
export async function openClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  // Its database is dropped, with whoever is connected, when the file ends.
  client.on('error', () => {})
  await client.connect()
  whenFileEnds(() => client.end())
  return client
}

/** The columns of a query that is expected to be sound. */
export async function columnsOf(source: Source, query: string): Promise<Column[]> {
  const described = await source.describe(jobInput(query))
  if ('columns' in described) return described.columns
  throw new Error(`expected columns, got ${JSON.stringify(described.problems)}`)
}

export async function readAll(source: Source, query: string, chunkRows = 1000): Promise<ColumnBatch[]> {
  const columns = await columnsOf(source, query)
  const batches: ColumnBatch[] = []
  for await (const batch of source.read(jobInput(query), {
    columns,
    chunkRows,
    signal: new AbortController().signal,
  })) {
    batches.push(batch)
  }
  return batches
}

/** Column `name` of a batch with fixed width, as values; NULL is null. */
export function valuesOf(batch: ColumnBatch, name: string): unknown[] {
  const i = batch.columns.findIndex((column) => column.name === name)
  const vector = batch.vectors[i]
  if (!vector || 'offsets' in vector) throw new Error(`expected a column ${name} of fixed width`)
  return Array.from({ length: batch.rows }, (_, row) => {
    const valid = vector.validity === null || ((vector.validity[row >> 3] ?? 0) >> (row & 7)) & 1
    return valid ? vector.values[row] : null
  })
}

/** Prepares a job of one lane and stages a query's rows for it, as if they had been scored. The job is ready to be finalised. */
export async function stageQuery(
  { sink, source }: { readonly sink: Sink; readonly source: Source },
  query: string,
  output: JobOutput,
): Promise<{ job: SinkJob; rows: bigint }> {
  const job = tableJob(output, await columnsOf(source, query))
  const batches = await readAll(source, query)
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write(batches.map((batch, seq) => ({ seq, batch, failed: [] })))
  const { rows } = await lane.end()
  return { job, rows }
}

/** A whole job that writes a query's rows. */
export async function writeQuery(
  connectors: { readonly sink: Sink; readonly source: Source },
  query: string,
  output: JobOutput,
): Promise<SinkResult> {
  const { job, rows } = await stageQuery(connectors, query, output)
  return connectors.sink.finalise(job, rows)
}
