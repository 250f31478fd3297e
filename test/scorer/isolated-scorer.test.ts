// Scoring in a process of its own, without Kafka: what comes back, what its death means, and that it can be closed at any time.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { matchColumns } from '../../src/model/signature.ts'
import { openModelStore } from '../../src/model/store.ts'
import type { ChunkWork } from '../../src/scorer/chunk-scorer.ts'
import { IsolatedScorer } from '../../src/scorer/isolated-scorer.ts'
import type { JobConfig } from '../../topics/jobs.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import { PLAN, running } from '../job/snapshots.ts'
import { expectNone, modelBytes, register } from '../model/fixtures.ts'
import { batchOf, valuesOf } from '../topics/vectors.ts'

const POISON = [-2147483648, -1] as const
let folder: string
let scorer: IsolatedScorer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scoreline-isolated-'))
  process.env.MODEL_STORE = folder
  scorer = new IsolatedScorer(pino({ level: 'silent' }))
})
afterAll(async () => {
  await scorer.close()
  delete process.env.MODEL_STORE
  await rm(folder, { recursive: true, force: true })
})

/** A chunk for the model a mod b. */
async function work(rows: readonly (readonly [number, number])[], config: Partial<JobConfig> = {}): Promise<ChunkWork> {
  const bytes = modelBytes('test/fixtures/models/remainder.onnx')
  const { session, model } = await register(bytes)
  await session.release()
  const batch = batchOf([
    { name: 'a', kind: 'int32', values: rows.map(([a]) => a) },
    { name: 'b', kind: 'int32', values: rows.map(([, b]) => b) },
  ])
  const { plan } = expectNone(matchColumns(model, batch.columns))
  const job = running({
    job_id: `batch-${JSON.stringify([rows, config])}`,
    plan: { ...PLAN, query_columns: [...batch.columns], scored_columns: [...plan.outputColumns] },
    config: { ...running().config, ...config },
  })
  const stored = await (await openModelStore(folder)).put(bytes)
  const record = {
    tenant_id: 'acme',
    model_id: 'remainder',
    version: 1,
    bytes: BigInt(bytes.length),
    registered_at: 0n,
  }
  return {
    job,
    model: { ...record, ...stored, ...model.signature, features: [...model.features] },
    at: 'chunk 7 of lane 3',
    rows: rows.length,
    value: encodeColumns(batch),
  }
}

async function remainders(of: Promise<ChunkWork>): Promise<unknown> {
  const { columns, vectors, rows } = decodeColumns((await scorer.score(await of)).payload)
  const place = columns.findIndex(({ name }) => name === 'y')
  return valuesOf('int32', vectors[place] as never, rows)
}

test('a chunk comes back as its predictions and its failed rows', async () => {
  expect(
    await remainders(
      work([
        [7, 3],
        [-7, 3],
      ]),
    ),
  ).toEqual([1, 2])
  const { failed } = await scorer.score(
    await work([
      [7, 3],
      [7, 0],
    ]),
  )
  expect(failed).toMatchObject([{ row: 1, reason: expect.stringContaining('modulo by zero') }])
})

test('a row that kills the process fails its job after retry_count, and the next job is scored', async () => {
  const poisoned = await work([[1, 1], POISON], { retry_count: 1 })
  const outcomes = await Promise.allSettled([scorer.score(poisoned), remainders(work([[8, 3]]))])
  expect(outcomes).toMatchObject([
    {
      status: 'rejected',
      reason: {
        code: 'model_crashed',
        message: expect.stringMatching(
          /^model remainder@1 killed the process that scored it 2 times, at last on chunk 7 of lane 3 \(2 rows\) by SIGFPE/,
        ),
      },
    },
    { status: 'fulfilled', value: [2] },
  ])
})

test('what ends the job for other reasons does so with its code', async () => {
  const good = await work([[7, 3]])
  await expect(scorer.score({ ...good, rows: 2 })).rejects.toMatchObject({ code: 'chunk_damaged' })
  await expect(scorer.score(await work([[7, 3]], { max_memory_gb: 0.001 }))).rejects.toMatchObject({
    code: 'memory_exceeded',
  })
})

test('closing it between chunks loses none', async () => {
  const first = remainders(work([[9, 4]]))
  const closed = scorer.close()
  const second = remainders(work([[9, 5]]))
  expect(await Promise.all([first, second])).toEqual([[1], [4]])
  await closed
})
