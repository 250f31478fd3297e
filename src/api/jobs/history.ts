// What a tenant's last jobs took, by model: where estimates come from. It is read from the snapshots of finished jobs, so
// it survives as they do.
import type { JobOutput, JobSnapshot } from '../../../topics/jobs.ts'
import { estimateMs, type PastRun } from '../../job/estimate.ts'

/** Of each model; older ones say less and less of today's load. */
const KEPT = 50

interface Run extends PastRun {
  readonly jobId: string
  readonly finishedAt: bigint
  readonly version: number | null
  readonly destinations: string
}

/** What an estimate depends on. */
export interface Estimated extends Pick<JobSnapshot, 'tenant_id' | 'model_id' | 'model_version'> {
  readonly rows: bigint
  readonly outputs: readonly Pick<JobOutput, 'destination'>[]
}

export class History {
  readonly #runs = new Map<string, Run[]>()

  /** Remembers a job that was completed at its first attempt; another's time tells of what went wrong. */
  add(job: JobSnapshot): void {
    if (job.status !== 'completed' || job.attempt !== 1 || job.started_at === null || job.finished_at === null) return
    const run: Run = {
      jobId: job.job_id,
      rows: Number(job.processed_rows),
      ms: Number(job.finished_at - job.started_at),
      finishedAt: job.finished_at,
      version: job.model_version,
      destinations: destinationsOf(job.outputs),
    }
    const others = (this.#runs.get(keyOf(job)) ?? []).filter(({ jobId }) => jobId !== job.job_id)
    const runs = [...others, run].sort((a, b) => Number(a.finishedAt - b.finishedAt))
    this.#runs.set(keyOf(job), runs.slice(-KEPT))
  }

  /** Milliseconds from start to end: by runs of the same version into the same kinds of destination, if there are any. */
  estimateMs(job: Estimated): number {
    const runs = this.#runs.get(keyOf(job)) ?? []
    const sameVersion = runs.filter(({ version }) => version === job.model_version)
    const sameWay = sameVersion.filter(({ destinations }) => destinations === destinationsOf(job.outputs))
    const nearest = [sameWay, sameVersion].find(({ length }) => length > 0) ?? runs
    return estimateMs(Number(job.rows), nearest)
  }
}

function keyOf({ tenant_id, model_id }: Pick<JobSnapshot, 'tenant_id' | 'model_id'>): string {
  return `${tenant_id}/${model_id}`
}

function destinationsOf(outputs: Estimated['outputs']): string {
  return outputs
    .map(({ destination }) => destination)
    .sort()
    .join()
}
