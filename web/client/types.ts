// What the API answers, as its own schemas say.
import type { Static } from 'typebox'
import type { TopicBody } from '../../src/api/cluster/topic-body.ts'
import type { WorkerBody } from '../../src/api/cluster/worker-body.ts'
import type { Flow } from '../../src/api/flow/flow.ts'
import type { ResultBody } from '../../src/api/results/results.ts'
import type { JobStatusBody } from '../../src/job/job-status.ts'

export type Job = Static<typeof JobStatusBody>
export type JobState = Job['status']

export const STATES = ['submitted', 'preparing', 'running', 'completing', 'completed', 'failed', 'cancelled'] as const

export interface Page<T> {
  readonly data: T[]
  readonly has_more: boolean
  readonly next: string | null
}

export function isFinished(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

export type KafkaTopic = Static<typeof TopicBody>
export type Worker = Static<typeof WorkerBody>
export type { Flow, FlowEdge, FlowLane, FlowNode } from '../../src/api/flow/flow.ts'
export type FlowAnswer = Flow & { readonly job_id: string; readonly attempt: number; readonly at: string }

/** A row that could not be scored, as the API lists it. */
export interface FailedRow {
  readonly id: string
  readonly key: string | null
  readonly reason: string
  readonly input: Readonly<Record<string, string | null>>
  readonly at: string
}

/** A tensor of a model's signature. */
export interface Tensor {
  readonly name: string
  readonly type: string
  readonly shape: readonly number[]
}

export interface Model {
  readonly model_id: string
  readonly version: number
  readonly sha256: string
  readonly bytes: number
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
  readonly features: readonly string[]
  readonly registered_at: string
}

export type JobResult = Static<typeof ResultBody>

export interface Schedule {
  readonly schedule_id: string
  readonly cron: string
  readonly timezone: string
  readonly enabled: boolean
  readonly job: Readonly<Record<string, unknown>>
  readonly last_skipped: { readonly fire_at: string; readonly reason: string } | null
  readonly next_firings: readonly string[]
}
