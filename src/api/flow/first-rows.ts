// The first rows of a job that were scored, as soon as they are on their way to a sink: read once out of the scored topic,
// so that neither scorers nor sinks do anything for it.
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { decodeColumns } from '../../../topics/payload.ts'
import type { ProgressEntry } from '../../../topics/progress.ts'
import { parseScoredHeaders, type SinkKind, scoredTopics, sinkKind } from '../../../topics/scored.ts'
import { LANES } from '../../../topics/topic.ts'
import type { KafkaClient } from '../../kafka/client.ts'
import { LogReader } from '../../kafka/log-reader.ts'
import { rowsOf, type SampleRow } from '../jobs/sample.ts'

export const FIRST_ROWS = 10
/** Records of other jobs that are passed over in a lane before it is given up. */
const MAX_RECORDS = 2_000
/** Another machine's clock wrote the records' times. */
const CLOCK_SKEW_MS = 5_000
/** Jobs whose rows are kept. */
const KEPT = 500

export class FirstRows {
  readonly #client: KafkaClient
  readonly #logs = new Map<SinkKind, LogReader>()
  readonly #known = new Map<string, SampleRow[]>()
  readonly #asked = new Map<string, Promise<SampleRow[] | null>>()

  constructor(client: KafkaClient) {
    this.#client = client
  }

  /** Null while there is none, or when the topic has forgotten them. */
  async of(job: JobSnapshot, entries: ReadonlyMap<string, ProgressEntry>): Promise<SampleRow[] | null> {
    if (job.started_at === null) return null
    const key = `${job.job_id}/${job.attempt}`
    const known = this.#known.get(key)
    if (known) return known
    const lanes = lanesWithRows(job, entries)
    if (!lanes.length) return null
    // Several pages that look at one job wait for one answer.
    const asked = this.#asked.get(key) ?? this.#find(job, lanes).finally(() => this.#asked.delete(key))
    this.#asked.set(key, asked)
    const rows = await asked
    if (rows) this.#keep(key, rows)
    return rows
  }

  async close(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => log.close()))
  }

  async #find(job: JobSnapshot, lanes: readonly number[]): Promise<SampleRow[] | null> {
    const [first] = job.outputs
    if (!first) return null
    const log = this.#log(sinkKind(first.destination))
    const names = job.plan?.output_columns[0]?.map(({ name }) => name) ?? []
    for (const lane of lanes) {
      let rows: SampleRow[] | null = null
      let passed = 0
      await log.read(lane, { time: Number(job.started_at) - CLOCK_SKEW_MS }, ({ value, headers }) => {
        const { header } = parseScoredHeaders(headers)
        if (header.type === 'chunk' && header.jobId === job.job_id && header.attempt === job.attempt)
          rows = rowsOf(decodeColumns(value), FIRST_ROWS).map((row) => only(row, names))
        return rows === null && ++passed < MAX_RECORDS
      })
      if (rows !== null) return rows
    }
    return null
  }

  #log(kind: SinkKind): LogReader {
    const log = this.#logs.get(kind) ?? new LogReader(this.#client, scoredTopics[kind])
    this.#logs.set(kind, log)
    return log
  }

  #keep(key: string, rows: SampleRow[]): void {
    this.#known.set(key, rows)
    const [oldest] = this.#known.keys()
    if (this.#known.size > KEPT && oldest !== undefined) this.#known.delete(oldest)
  }
}

/** Where to look: lanes of which something is scored; of a finished job, that has given them back, any. */
function lanesWithRows(job: JobSnapshot, entries: ReadonlyMap<string, ProgressEntry>): number[] {
  if (job.finished_at !== null) return job.processed_rows > 0n ? Array.from({ length: LANES }, (_, lane) => lane) : []
  return [...entries.values()]
    .filter(({ stage, attempt, rows }) => stage === 'score' && attempt === job.attempt && rows > 0n)
    .map(({ lane }) => lane)
}

function only(row: SampleRow, names: readonly string[]): SampleRow {
  return Object.fromEntries(names.map((name) => [name, row[name] ?? null]))
}
