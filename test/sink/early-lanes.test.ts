// Lanes that a sink opens before there is something to write, with the real connector for local files: each once, none left open.
import { EventEmitter } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Sink } from '../../connectors/connector.ts'
import { openConnectors } from '../../connectors/index.ts'
import { sinkJob } from '../../src/job/sink-job.ts'
import { Lane } from '../../src/kafka/lane.ts'
import type { ProcessContext } from '../../src/process.ts'
import { EarlyLanes } from '../../src/sink/early-lanes.ts'
import { BARE_OUTPUT, type JobSnapshot } from '../../topics/jobs.ts'
import { connectorSettings } from '../connectors/settings.ts'
import { until } from '../harness/until.ts'
import { running } from '../job/snapshots.ts'

let root: string
let sink: Sink
/** What was opened and not closed, and how often in all. */
let open: string[]
let opened: number
let jobs: Map<string, JobSnapshot>
let changes: EventEmitter
let lane: Lane
let early: EarlyLanes

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scoreline-early-'))
  sink = openConnectors(connectorSettings({ outputRoots: [`file://${root}/`] })).sinkFor('parquet') as Sink
})
afterAll(() => rm(root, { recursive: true, force: true }))

const output = { ...BARE_OUTPUT, destination: 'parquet', path: 'scores', mode: 'append' } as const
const job = (job_id: string, change: Partial<JobSnapshot> = {}) =>
  running({ job_id, outputs: [output], lanes: [3, 4], ...change })

beforeEach(() => {
  open = []
  opened = 0
  jobs = new Map()
  changes = new EventEmitter()
  const watched: Sink = {
    ...sink,
    openLane: async (of, number) => {
      const writer = await sink.openLane(of, number)
      const name = `${of.jobId}/${of.attempt}/${number}`
      open.push(name)
      opened++
      return Object.assign(writer, { close: async () => void open.splice(open.indexOf(name), 1) })
    },
  }
  const context = {
    views: { changes, jobs },
    connectors: { sinkFor: () => watched },
    workerId: 'sink-1',
  } as unknown as ProcessContext
  const feed = { pause() {}, resume() {}, seek() {}, commit: async () => {}, committed: async () => null }
  lane = new Lane('scored.files.v1', 3, feed)
  early = new EarlyLanes(lane, 'files', context)
})

function seen(snapshot: JobSnapshot): void {
  jobs.set(snapshot.job_id, snapshot)
  changes.emit('job', snapshot)
}

test('a lane of a job that begins is opened once, and given to whoever has something to write', async () => {
  const begins = job('batch-a')
  await sink.prepare(sinkJob(begins, 0))
  seen(job('batch-a', { status: 'preparing', prepared_attempt: 0 }))
  seen(begins)
  seen({ ...begins, read_rows: 10n })
  await until(() => opened === 1)
  const laneJob = await early.open(begins, 0)
  expect(laneJob.job).toBe(begins)
  seen({ ...begins, read_rows: 20n })
  early.close()
  expect([open, opened]).toEqual([['batch-a/1/3'], 1])
  await laneJob.close()
})

test('what nobody took is closed when the attempt is over, and when the lane is', async () => {
  for (const id of ['batch-b', 'batch-c', 'batch-d']) {
    await sink.prepare(sinkJob(job(id), 0))
    seen(job(id))
  }
  await until(() => open.length === 3)
  seen(job('batch-b', { status: 'cancelled' }))
  seen(job('batch-c', { attempt: 2 }))
  await until(() => open.join() === 'batch-d/1/3')
  early.close()
  await until(() => open.length === 0)
  seen(job('batch-e'))
  expect(opened).toBe(3)
})

test('other lanes’ jobs, and lanes that are not this process’s any more, are left alone', async () => {
  seen(job('batch-f', { lanes: [4] }))
  lane.revoke()
  seen(job('batch-g'))
  await expect(early.open(job('batch-g'), 0)).rejects.toMatchObject({ code: expect.any(String) })
  expect(opened).toBe(0)
})

test('one that could not be opened is opened again, and the reason is told then', async () => {
  const unprepared = job('batch-h')
  seen(unprepared)
  await expect(early.open(unprepared, 0)).rejects.toMatchObject({ code: 'not_prepared' })
  await sink.prepare(sinkJob(unprepared, 0))
  expect((await early.open(unprepared, 0)).job).toBe(unprepared)
})
