// Brings a job of the contract through a sink as the roles do: prepare, each lane from where it is durable to its end, finalise; and
// opens again what failed in passing.
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { ConnectorError, type Sink, type SinkResult } from '../../../connectors/connector.ts'
import { chunk, chunkCount, type PlannedJob, totalRows } from './rows.ts'

/** A job, and the stage it has reached: nobody repeats a stage that has returned. */
export interface Run {
  readonly job: PlannedJob
  stage: 'preparing' | 'running' | 'completing'
}

export function runOf(job: PlannedJob): Run {
  return { job, stage: 'preparing' }
}

/** Goes on from the stage that an earlier process has brought the job to. */
export async function advance(sink: Sink, run: Run): Promise<SinkResult> {
  const { job } = run
  if (run.stage === 'preparing') {
    await sink.prepare(job)
    run.stage = 'running'
  }
  if (run.stage === 'running') {
    for (const lane of job.lanes) await writeLane(sink, job, lane)
    run.stage = 'completing'
  }
  const result = await sink.finalise(job, totalRows(job))
  expect(result.rows).toBe(totalRows(job))
  return result
}

export function runJob(sink: Sink, job: PlannedJob): Promise<SinkResult> {
  return advance(sink, runOf(job))
}

/** Writes a lane from where it is durable to its end, a chunk at a time. */
export async function writeLane(sink: Sink, job: PlannedJob, lane: number): Promise<void> {
  const writer = await sink.openLane(job, lane)
  try {
    if (writer.position.done) return
    for (let seq = writer.position.chunks; seq < chunkCount(job, lane); seq++)
      await writer.write([chunk(job, lane, seq)])
    await writer.end()
  } finally {
    await writer.close()
  }
}

/** More than any rival of a test can take away. */
const MAX_TRIES = 100

/** Does it again as long as it fails in passing, as a role does; any other failure is thrown. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof ConnectorError && error.retriable) || tries === MAX_TRIES) throw error
      // By chance and longer each time: rivals that all come back at once take the lane from each other for ever.
      await pause(Math.random() * Math.min(1_000, 10 * 2 ** tries))
    }
  }
}

/** What a promise is rejected with; a failed test when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ('error' in outcome) return outcome.error
  throw new Error('expected a rejection, got a result', { cause: outcome.value })
}

/** The error that ends a job: with a code and a reason that a user can be told. */
export const PERMANENT = {
  name: 'ConnectorError',
  code: expect.stringMatching(/^[a-z]+(_[a-z]+)*$/),
  message: expect.stringMatching(/\w+ \w+/),
  retriable: false,
}

/** The error after which the caller backs off and calls again. */
export const PASSING = { ...PERMANENT, retriable: true }
