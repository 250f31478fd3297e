// Jobs of the Kafka tests, and the one topic of the service that the connector commits its positions against.
import { randomBytes } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import type { ScoredChunk, SinkJob } from '../../../connectors/connector.ts'
import type { Column } from '../../../topics/columns.ts'
import { BARE_OUTPUT, type JobInput, type JobOutput } from '../../../topics/jobs.ts'
import { scoredTopics } from '../../../topics/scored.ts'
import { kafkaBrokers } from '../../harness/servers.ts'
import { createTopics } from '../../harness/topics.ts'
import { batchOf } from '../../topics/vectors.ts'

export const SCORES: readonly Column[] = [
  { name: 'customer_id', kind: 'int64' },
  { name: 'score', kind: 'float32' },
]

export function kafkaClient(): Kafka {
  return new Kafka({ brokers: [kafkaBrokers()], logLevel: logLevel.NOTHING })
}

/** Creates the topic of scored chunks, as a starting service would. */
export async function createScoredTopic(prefix: string): Promise<void> {
  const { name, partitions } = scoredTopics.kafka
  await createTopic({ topic: `${prefix}${name}`, numPartitions: partitions })
}

export async function createTopic(topic: {
  topic: string
  numPartitions?: number
  configEntries?: { name: string; value: string }[]
}): Promise<void> {
  const admin = kafkaClient().admin()
  await admin.connect()
  await createTopics(admin, [{ numPartitions: 3, ...topic }])
  await admin.disconnect()
}

export function freshTopic(): string {
  return `predictions.${randomBytes(5).toString('hex')}`
}

export function kafkaOutput(topic: string | null, more: Partial<JobOutput> = {}): JobOutput {
  return { ...BARE_OUTPUT, destination: 'kafka', topic, mode: 'append', format: 'json', ...more }
}

export function jobInput(key_column: string | null = null): JobInput {
  return { source: 'sql', query: 'SELECT 1', connection: 'warehouse', key_column }
}

export function kafkaJob(
  topic: string,
  { output, ...more }: Partial<Omit<SinkJob, 'output'>> & { output?: Partial<JobOutput> } = {},
): SinkJob {
  const jobId = `batch-${randomBytes(6).toString('hex')}`
  return {
    jobId,
    resultId: jobId,
    attempt: 1,
    columns: SCORES,
    keyColumn: 'customer_id',
    chunkRows: 10,
    lanes: [0, 3],
    model: { id: 'churn', version: 2, sha256: '00' },
    ...more,
    output: kafkaOutput(topic, output),
  }
}

/** Chunk `seq` of a lane: ids that no other chunk has. */
export function chunk(lane: number, seq: number, rows = 10, failedRows = 0): ScoredChunk {
  const ids = Array.from({ length: rows }, (_, i) => BigInt(lane * 1_000_000 + seq * 1000 + i))
  const [id, score] = SCORES as [Column, Column]
  const batch = batchOf([
    { ...id, values: ids },
    { ...score, values: ids.map((value) => Number(value % 4n) / 4) },
  ])
  const failed = Array.from({ length: failedRows }, (_, row) => ({ row, reason: 'told by the test', input: {} }))
  return { seq, batch, failed }
}

/** The ids of a lane's first `chunks` chunks. */
export function idsOf(lane: number, chunks: number, rows = 10): number[] {
  return Array.from({ length: chunks * rows }, (_, i) => lane * 1_000_000 + Math.floor(i / rows) * 1000 + (i % rows))
}
