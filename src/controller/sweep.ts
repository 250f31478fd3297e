// A finished job's time is up: what it wrote to each of its outputs goes, but for what is a user's (tables, topics).
import { ConnectorError, type Sink } from '../../connectors/connector.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { sinkJob } from '../job/sink-job.ts'

export interface Destination {
  readonly sink: Sink
  readonly output: number
}

/** Each output for itself: one store that is away, or refuses for good, must not keep what is in the others. */
export async function sweep(job: JobSnapshot, outputs: readonly Destination[]): Promise<void> {
  for (const swept of await Promise.allSettled(outputs.map((destination) => sweepOne(job, destination))))
    if (swept.status === 'rejected' && !isRefusal(swept.reason)) throw swept.reason
}

/** What can never be removed must not be tried for ever. */
export function isRefusal(error: unknown): boolean {
  return error instanceof ConnectorError && !error.retriable
}

async function sweepOne(job: JobSnapshot, { sink, output }: Destination): Promise<void> {
  if (!job.plan || job.attempt === 0) return
  // A completed job left nothing else. Of others the cleaning up was given up when a store was away for long.
  if (job.status !== 'completed')
    for (let attempt = 1; attempt <= job.attempt; attempt++) await sink.discard(sinkJob({ ...job, attempt }, output))
  await sink.expire(sinkJob(job, output))
}
