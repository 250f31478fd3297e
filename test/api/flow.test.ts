import { expect, test } from 'vitest'
import { flowOf } from '../../src/api/flow/flow.ts'
import { requestOf } from '../../src/api/flow/request.ts'
import { parseJob } from '../../src/job/spec.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import type { WorkerHeartbeat } from '../../topics/workers.ts'
import { entry, running } from '../job/snapshots.ts'

const NOW = 1_000_000

function heartbeat(change: Partial<WorkerHeartbeat> & Pick<WorkerHeartbeat, 'worker_id' | 'role'>): WorkerHeartbeat {
  return {
    pool: change.role === 'scorer' ? 'cpu' : '',
    host: 'host',
    pid: 1,
    rss_bytes: 0n,
    rss_peak_bytes: 0n,
    cpu_ms: 0n,
    partitions: [],
    busy_share: 0,
    back_pressured_share: 0,
    rows_per_second: 0,
    chunk_p95_ms: null,
    jobs: [],
    started_at: 0n,
    at: BigInt(NOW),
    providers: [],
    devices: [],
    ...change,
  }
}

function ledger(...entries: ProgressEntry[]): Map<string, ProgressEntry> {
  return new Map(
    entries.map((each) => [
      each.stage === 'sink' ? `sink/${each.output}:${each.lane}` : `${each.stage}/${each.lane}`,
      each,
    ]),
  )
}

const LANE = (lane: number, chunks: bigint, rows: bigint) => ({ lane, chunks, rows, bytes: 0n })

const READ = entry({
  stage: 'read',
  lane: -1,
  chunks: 30n,
  rows: 3_000n,
  sent: [LANE(0, 20n, 2_000n), LANE(1, 10n, 1_000n)],
})

test('what waits in a lane is what one stage gave it and the next has not committed', () => {
  const entries = ledger(
    READ,
    entry({ stage: 'score', lane: 0, chunks: 15n, rows: 1_500n }),
    entry({ stage: 'sink', lane: 0, chunks: 5n, rows: 480n, failed_rows: 20n }),
  )
  const lags = new Map([['scorer.cpu', [{ partition: 0, low: 0n, high: 99n, committed: 90n, lag: 9n }]]])
  const { nodes, edges } = flowOf(running(), { entries, workers: [], lags, now: NOW })
  expect(nodes.map(({ role, rows, done }) => [role, rows, done])).toEqual([
    ['reader', 3_000, false],
    ['scorer', 1_500, false],
    ['sink', 480, false],
  ])
  const [chunks, scored] = edges
  expect(chunks).toMatchObject({ topic: 'chunks.cpu.v1', group: 'scorer.cpu', lag_chunks: 15, lag_rows: 1_500 })
  expect(chunks?.lanes).toMatchObject([
    {
      lane: 0,
      lag_chunks: 5,
      lag_rows: 500,
      end_offset: '99',
      committed_offset: '90',
      partition_lag: 9,
      owner: 'worker-1',
    },
    { lane: 1, lag_chunks: 10, lag_rows: 1_000, committed_offset: null, owner: null },
  ])
  // The sink's rows and those that failed make up what it took in.
  expect(scored?.lanes[0]).toMatchObject({ lag_chunks: 10, lag_rows: 1_000 })
})

test('a read that can be resumed says in its position what each lane has', () => {
  const position = { key: '7', lanes: [LANE(1, 4n, 400n)], held: true, interruptions: 0 }
  const { edges } = flowOf(running(), {
    entries: ledger({ ...READ, sent: [], position }),
    workers: [],
    lags: new Map(),
    now: NOW,
  })
  expect(edges[0]?.lanes.map(({ lag_rows }) => lag_rows)).toEqual([0, 400])
})

test('a stage that is heard of before the one before it has nothing waiting', () => {
  const entries = ledger(entry({ stage: 'score', lane: 0, chunks: 3n, rows: 300n }))
  expect(flowOf(running(), { entries, workers: [], lags: new Map(), now: NOW }).edges[0]).toMatchObject({
    lag_chunks: 0,
    lag_rows: 0,
  })
})

test('entries of another attempt do not count', () => {
  const entries = ledger(READ, entry({ stage: 'score', lane: 0, rows: 1n, attempt: 1 }))
  const { nodes, edges } = flowOf(running({ attempt: 2 }), { entries, workers: [], lags: new Map(), now: NOW })
  expect(nodes.every(({ rows }) => rows === 0)).toBe(true)
  expect(edges[0]?.lag_rows).toBe(0)
})

test('shares are those of the workers that are at the job, alive and of that stage', () => {
  const workers = [
    heartbeat({ worker_id: 's1', role: 'scorer', jobs: ['batch-1'], busy_share: 1, chunk_p95_ms: 10, partitions: [0] }),
    heartbeat({
      worker_id: 's2',
      role: 'scorer',
      jobs: ['batch-1'],
      busy_share: 0.5,
      chunk_p95_ms: 30,
      partitions: [1],
    }),
    heartbeat({ worker_id: 's3', role: 'scorer', jobs: ['batch-2'], busy_share: 0, partitions: [1] }),
    heartbeat({ worker_id: 's4', role: 'scorer', jobs: ['batch-1'], at: BigInt(NOW - 60_000) }),
    heartbeat({ worker_id: 'r1', role: 'reader', jobs: ['batch-1'], back_pressured_share: 0.7 }),
  ]
  const { nodes, edges } = flowOf(running(), { entries: ledger(READ), workers, lags: new Map(), now: NOW })
  expect(nodes[0]).toMatchObject({ role: 'reader', back_pressured_share: 0.7, chunk_p95_ms: null, workers: ['r1'] })
  expect(nodes[1]).toMatchObject({ busy_share: 0.75, chunk_p95_ms: 30, workers: ['s1', 's2'] })
  expect(nodes[2]).toMatchObject({ busy_share: null, workers: [] })
  expect(edges[0]?.lanes.map(({ owner }) => owner)).toEqual(['s1', 's2'])
})

test('a stage is done when all its lanes are', () => {
  const done = { done: true } as const
  const entries = ledger(
    { ...READ, ...done },
    entry({ stage: 'score', lane: 0, ...done }),
    entry({ stage: 'score', lane: 1, ...done }),
    entry({ stage: 'sink', lane: 1, ...done }),
  )
  const { nodes } = flowOf(running(), { entries, workers: [], lags: new Map(), now: NOW })
  expect(nodes.map((node) => node.done)).toEqual([true, true, false])
})

test('the request has what the submission may have, and nothing that is not set', () => {
  const { input, outputs, config } = running()
  const request = requestOf(running())
  expect(request).toMatchObject({ model_id: running().model_id, config })
  expect(request.input).toEqual(Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null)))
  expect(Object.values(request.output as object)).not.toContain(null)
  expect(request).not.toHaveProperty('outputs')
  expect(requestOf(running({ outputs: [...outputs, ...outputs] }))).not.toHaveProperty('output')
  expect(request).not.toHaveProperty('webhook')
  const asked = { url: 'https://hooks.example.com/scored', events: ['completed' as const] }
  const told = {
    state: 'delivered' as const,
    attempts: 2,
    last_attempt_at: 9n,
    next_attempt_at: null,
    last_error: 'no',
  }
  const again = requestOf(running({ webhook: { ...asked, ...told } }))
  expect(again.webhook).toEqual(asked)
  expect(parseJob(again, { parallelism: 1 })).toMatchObject({ spec: { webhook: asked } })
})
