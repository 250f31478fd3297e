// Scoring in a process of its own, without Kafka: what comes back, what its death means, and that it can be closed at any time.
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { matchColumns } from '../../src/model/signature.ts'
import { openModelStore } from '../../src/model/store.ts'
import type { ChunkWork, ScoredChunk } from '../../src/scorer/chunk-scorer.ts'
import { IsolatedScorer } from '../../src/scorer/isolated-scorer.ts'
import type { JobConfig } from '../../topics/jobs.ts'
import { decodeColumns, encodeColumns } from '../../topics/payload.ts'
import { until } from '../harness/until.ts'
import { PLAN, running } from '../job/snapshots.ts'
import { expectNone, modelBytes, register } from '../model/fixtures.ts'
import { batchOf, valuesOf } from '../topics/vectors.ts'

const NEVER = new AbortController().signal
const POISON = [-2147483648, -1] as const
let folder: string
let scorer: IsolatedScorer
let jobs = 0

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

type Rows = readonly (readonly [number, number])[]
const MODELS = {
  /** a mod b */
  remainder: { kind: 'int32', features: undefined },
  /** 200 KB of memory a row */
  wide: { kind: 'float32', features: ['a', 'b'] },
} as const

/** A chunk of a job of its own. */
async function work(
  rows: Rows,
  config: Partial<JobConfig> = {},
  name: keyof typeof MODELS = 'remainder',
): Promise<ChunkWork> {
  const { kind, features } = MODELS[name]
  const bytes = modelBytes(`test/fixtures/models/${name}.onnx`)
  const { session, model } = await register(bytes, features)
  await session.release()
  const batch = batchOf([
    { name: 'a', kind, values: rows.map(([a]) => a) },
    { name: 'b', kind, values: rows.map(([, b]) => b) },
  ])
  const { plan } = expectNone(matchColumns(model, batch.columns))
  const job = running({
    job_id: `batch-${++jobs}`,
    plan: { ...PLAN, query_columns: [...batch.columns], scored_columns: [...plan.outputColumns] },
    config: { ...running().config, ...config },
  })
  const stored = await (await openModelStore(folder)).put(bytes)
  const record = {
    tenant_id: 'acme',
    model_id: name,
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

async function score(work: ChunkWork): Promise<ScoredChunk> {
  const scored = await scorer.score(work, NEVER)
  if (!scored) throw new Error('expected a scored chunk, got none')
  return scored
}

async function remainders(of: ChunkWork | Promise<ChunkWork>): Promise<unknown> {
  const { columns, vectors, rows } = decodeColumns((await score(await of)).payload)
  const place = columns.findIndex(({ name }) => name === 'y')
  return valuesOf('int32', vectors[place] as never, rows)
}

/** The process that scores, while it lives. */
async function scoringPid(): Promise<number | undefined> {
  const lists = (await readdir('/proc/self/task')).map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8'))
  const pids = (await Promise.all(lists)).join(' ').match(/\d+/g) ?? []
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  const place = commands.findIndex((command) => command.includes('isolated-process'))
  return place < 0 ? undefined : Number(pids[place])
}

/** Stops the idle process, or kills it and waits until this process has been told. */
async function signal(name: 'SIGSTOP' | 'SIGKILL'): Promise<void> {
  const pid = await scoringPid()
  if (pid === undefined) throw new Error('expected a process that scores, got none')
  process.kill(pid, name)
  if (name === 'SIGKILL') await until(() => !existsSync(`/proc/${pid}`))
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
  const { failed } = await score(
    await work([
      [7, 3],
      [7, 0],
    ]),
  )
  expect(failed).toMatchObject([{ row: 1, reason: expect.stringContaining('modulo by zero') }])
})

test('a row that kills the process fails its job after retry_count, and the next job is scored', async () => {
  const poisoned = await work([[1, 1], POISON], { retry_count: 1 })
  const outcomes = await Promise.allSettled([score(poisoned), remainders(work([[8, 3]]))])
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
  await expect(score({ ...good, rows: 2 })).rejects.toMatchObject({ code: 'chunk_damaged' })
  await expect(score(await work([[7, 3]], { max_memory_gb: 0.001 }))).rejects.toMatchObject({
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

test('a run that does not end is given up with its job, which counts no death, and the next suspect is scored', async () => {
  await remainders(work([[7, 3]]))
  await signal('SIGSTOP')
  const endless = await work([[7, 4]], { retry_count: 0 })
  const over = new AbortController()
  const given = scorer.score(endless, over.signal)
  const next = remainders(work([[8, 5]]))
  await setImmediate()
  over.abort()
  expect(await given).toBeNull()
  expect(await next).toEqual([3])
  expect(await scorer.score(endless, over.signal)).toBeNull()
  expect(await remainders(endless)).toEqual([3])
})

test('a drain that has waited long enough gives up a run that does not end, and what waits behind it', async () => {
  await scorer.close()
  await until(async () => (await scoringPid()) === undefined)
  const draining = new IsolatedScorer(pino({ level: 'silent' }))
  const chunk = await work([[7, 3]])
  expect(await draining.score(chunk, NEVER)).not.toBeNull()
  await signal('SIGSTOP')
  const given = [draining.score(chunk, NEVER), draining.score(chunk, NEVER)]
  await setImmediate()
  draining.stop()
  expect(await Promise.all(given)).toEqual([null, null])
  await draining.close()
  await until(async () => (await scoringPid()) === undefined)
})

test('a process that dies with nothing to do is no job’s death, and can be closed', async () => {
  await remainders(work([[7, 3]]))
  await signal('SIGKILL')
  expect(await remainders(work([[9, 5]], { retry_count: 0 }))).toEqual([4])
  await signal('SIGKILL')
  await scorer.close()
  expect(await remainders(work([[9, 7]], { retry_count: 0 }))).toEqual([2])
})

describe('a chunk of 2 M rows', () => {
  let many: ChunkWork
  beforeAll(async () => {
    many = await work(Array.from({ length: 2_000_000 }, () => [7, 3]))
  })
  const limited = (jobId: string, max_memory_gb: number): ChunkWork => ({
    ...many,
    job: { ...many.job, job_id: jobId, config: { ...many.job.config, max_memory_gb } },
  })

  test('does not fail for the memory of another job that the process scored', async () => {
    await scorer.close()
    await score(
      await work(
        Array.from({ length: 4_000 }, () => [1, 2] as const),
        {},
        'wide',
      ),
    )
    const fat = await scoringPid()
    expect(await residentGb(fat)).toBeGreaterThan(0.6)
    await score(limited('batch-innocent', 0.5))
    expect(await scoringPid()).not.toBe(fat)
  })

  test('fails its job when it takes too much of a process that scored nothing else', async () => {
    await scorer.close()
    const small = await work([[7, 3]])
    await score(small)
    const large = limited(small.job.job_id, (await residentGb(await scoringPid())) + 0.008)
    await expect(score(large)).rejects.toMatchObject({
      code: 'memory_exceeded',
      message: expect.stringMatching(/^model remainder@1 took 0\.\d+ GB for chunk 7 of lane 3 \(2000000 rows\)/),
    })
  })
})

async function residentGb(pid: number | undefined): Promise<number> {
  const [, pages] = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')
  return (Number(pages) * 4096) / 2 ** 30
}
