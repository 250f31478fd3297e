// The physical limit of each destination, alone in this process: COPY into a table, the encoders of files, a bare Kafka
// producer. All of them with rows like the example's predictions: a key, a label and two probabilities.
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { partEncoder } from '../connectors/files/format.ts'
import { encodeRows } from '../connectors/postgres/copy-encoder.ts'
import { copyIn } from '../connectors/postgres/copy-in.ts'
import type { Column, ColumnBatch } from '../topics/columns.ts'
import { BARE_OUTPUT, type JobOutput } from '../topics/jobs.ts'

const CHUNK_ROWS = 1000
/** Chunks in each transaction, and in each send: what a sink takes at once. */
const TAKEN_CHUNKS = 40

const COLUMNS: readonly Column[] = [
  { name: 'customer_id', kind: 'int64', sqlType: 'bigint' },
  { name: 'label', kind: 'int64' },
  { name: 'probabilities_0', kind: 'float32' },
  { name: 'probabilities_1', kind: 'float32' },
]

/** Rows per second of COPY alone: one connection, chunk by chunk, encoding included. */
export async function copyAlone(databaseUrl: string, rows: number): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(
      'CREATE TABLE copy_alone (customer_id bigint, label bigint, probabilities_0 real, probabilities_1 real)',
    )
    return await rate(rows, async (batches) => {
      for (let at = 0; at < batches.length; at += TAKEN_CHUNKS) {
        const messages = batches.slice(at, at + TAKEN_CHUNKS).map(encodeRows)
        await copyIn(client, 'COPY copy_alone FROM STDIN (FORMAT binary)', messages)
      }
    })
  } finally {
    await client.query('DROP TABLE IF EXISTS copy_alone')
    await client.end()
  }
}

/** Rows per second of the encoder of a file format alone, into memory. */
export function encoderAlone(destination: 'parquet' | 'csv', rows: number): Promise<number> {
  const output: JobOutput = {
    ...BARE_OUTPUT,
    destination,
    mode: 'overwrite',
    compression: destination === 'parquet' ? 'zstd' : 'none',
    formula_guard: true,
  }
  return rate(rows, async (batches) => {
    const encoder = partEncoder(output, COLUMNS, 100)
    for (const batch of batches) await encoder.add(batch)
    await encoder.finish()
  })
}

/** Rows per second of a bare producer: one record a row, `valueBytes` long, keyed, acks=all. */
export async function producerAlone(brokers: string, rows: number, valueBytes: number): Promise<number> {
  const kafka = new Kafka({ clientId: 'bench', brokers: [brokers], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  await Promise.all([admin.connect(), producer.connect()])
  try {
    await admin.createTopics({ topics: [{ topic: 'producer-alone', numPartitions: 4 }] })
    const value = Buffer.alloc(valueBytes, 7)
    const sendRows = CHUNK_ROWS * TAKEN_CHUNKS
    const started = performance.now()
    for (let first = 0; first < rows; first += sendRows) {
      const count = Math.min(sendRows, rows - first)
      const messages = Array.from({ length: count }, (_, i) => ({ key: String(first + i), value }))
      await producer.send({ topic: 'producer-alone', acks: -1, messages })
    }
    return (rows * 1000) / (performance.now() - started)
  } finally {
    await admin.deleteTopics({ topics: ['producer-alone'] })
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
}

async function rate(rows: number, work: (batches: readonly ColumnBatch[]) => Promise<void>): Promise<number> {
  const batches = Array.from({ length: Math.ceil(rows / CHUNK_ROWS) }, (_, chunk) => predictions(chunk * CHUNK_ROWS))
  const started = performance.now()
  await work(batches)
  return (rows * 1000) / (performance.now() - started)
}

function predictions(first: number): ColumnBatch {
  const ids = BigInt64Array.from({ length: CHUNK_ROWS }, (_, i) => BigInt(first + i))
  const stays = Float32Array.from({ length: CHUNK_ROWS }, (_, i) => (((first + i) * 2_654_435_761) % 4096) / 4096)
  const values = [ids, BigInt64Array.from(stays, (p) => (p > 0.5 ? 1n : 0n)), stays, stays.map((p) => 1 - p)]
  return {
    columns: COLUMNS,
    vectors: values.map((column) => ({ validity: null, nullCount: 0, values: column })),
    rows: CHUNK_ROWS,
  }
}
