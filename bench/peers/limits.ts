// The limits of a workload on this machine, each alone, in this process: COPY out, scoring with one session and with two,
// and the encoder of the destination.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { partEncoder } from '../../connectors/files/format.ts'
import { encodeRows } from '../../connectors/postgres/copy-encoder.ts'
import { createPostgresSource } from '../../connectors/postgres/source.ts'
import { probeOutputs } from '../../src/model/probe.ts'
import type { ScoringPlan } from '../../src/model/scoring-plan.ts'
import { openScoringSession } from '../../src/model/scoring-session.ts'
import { matchColumns } from '../../src/model/signature.ts'
import { scoreChunk } from '../../src/scorer/score-chunk.ts'
import { buildFeeds } from '../../src/scorer/tensors.ts'
import type { ColumnBatch } from '../../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput } from '../../topics/jobs.ts'
import type { ScoringTask } from './score-alone.ts'

/** Rows a second. */
export interface Limits {
  readonly copyOut: number
  readonly scoring: number
  readonly scoringTwice: number
  readonly encoder: number
}

export interface LimitTask {
  readonly databaseUrl: string
  readonly query: string
  readonly model: Uint8Array
  readonly features: readonly string[]
  readonly chunkRows: number
  readonly destination: 'parquet' | 'table'
}

/** Chunks that are kept for scoring and encoding. */
const KEPT_CHUNKS = 100
const MILLISECONDS = 1_500
/** As the sink makes row groups of chunks of 1,000 rows. */
const GROUP_CHUNKS = 100

export async function limitsOf(task: LimitTask): Promise<Limits> {
  const { batches, rate: copyOut } = await copyOutAlone(task)
  const { plan, scored } = await score(task, batches)
  const feeds = batches.map((batch) => buildFeeds(plan, batch, null))
  const scoring: ScoringTask = {
    model: task.model,
    feeds,
    rowsOfEach: task.chunkRows,
    milliseconds: MILLISECONDS,
  }
  return {
    copyOut,
    scoring: await scoringAlone(scoring, 1),
    scoringTwice: await scoringAlone(scoring, 2),
    encoder: await encoderAlone(task.destination, scored),
  }
}

async function copyOutAlone(task: LimitTask): Promise<{ batches: ColumnBatch[]; rate: number }> {
  const source = createPostgresSource({
    connections: { warehouse: task.databaseUrl },
    outputRoots: [],
    s3: { endpoint: null, region: 'us-east-1' },
    kafka: { brokers: [], topicPrefix: '', registryUrl: null },
  })
  try {
    const input = { source: 'sql', query: task.query, connection: 'warehouse', key_column: null } as const
    const described = await source.describe(input)
    if (!('columns' in described)) throw new Error(JSON.stringify(described.problems))
    const batches: ColumnBatch[] = []
    let rows = 0
    const started = performance.now()
    const options = { columns: described.columns, chunkRows: task.chunkRows, signal: new AbortController().signal }
    for await (const batch of source.read(input, options)) {
      rows += batch.rows
      if (batches.length < KEPT_CHUNKS && batch.rows === task.chunkRows) batches.push(batch)
    }
    return { batches, rate: (rows * 1000) / (performance.now() - started) }
  } finally {
    await source.close()
  }
}

async function score(
  task: LimitTask,
  batches: readonly ColumnBatch[],
): Promise<{ plan: ScoringPlan; scored: ColumnBatch[] }> {
  const session = await openScoringSession(task.model, ['cpu'])
  try {
    const outputs = await probeOutputs(session, task.features)
    if (!('outputs' in outputs)) throw new Error(JSON.stringify(outputs.problems))
    const signature = { inputs: session.signature.inputs, outputs: outputs.outputs }
    const matched = matchColumns({ signature, features: task.features }, batches[0]?.columns ?? [])
    if (!('plan' in matched)) throw new Error(JSON.stringify(matched.problems))
    const scored: ColumnBatch[] = []
    for (const batch of batches) scored.push((await scoreChunk(session, matched.plan, batch)).batch)
    return { plan: matched.plan, scored }
  } finally {
    await session.release()
  }
}

/** A run holds its thread, so each session has one of its own. */
async function scoringAlone(task: ScoringTask, sessions: number): Promise<number> {
  const workers = Array.from(
    { length: sessions },
    () => new Worker(new URL('score-alone.ts', import.meta.url), { workerData: task }),
  )
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const rates = await Promise.all(
    workers.map(async (worker) => {
      worker.postMessage('go')
      const [rate] = await once(worker, 'message')
      return rate as number
    }),
  )
  await Promise.all(workers.map((worker) => worker.terminate()))
  return rates.reduce((sum, rate) => sum + rate, 0)
}

/** Into memory. */
async function encoderAlone(destination: 'parquet' | 'table', batches: readonly ColumnBatch[]): Promise<number> {
  const output: JobOutput = { ...BARE_OUTPUT, destination: 'parquet', mode: 'overwrite', compression: 'zstd' }
  let rows = 0
  const started = performance.now()
  while (performance.now() - started < MILLISECONDS) {
    if (destination === 'table') for (const batch of batches) encodeRows(batch)
    else {
      const encoder = partEncoder(output, batches[0]?.columns ?? [], GROUP_CHUNKS)
      for (const batch of batches) await encoder.add(batch)
      await encoder.finish()
    }
    rows += batches.reduce((sum, batch) => sum + batch.rows, 0)
  }
  return (rows * 1000) / (performance.now() - started)
}
