// Our side of the comparison: a warm service with the workload's model, and one measured job.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { forgetPeaks, processCosts } from '../process-costs.ts'
import type { WholeService } from '../whole-service.ts'
import type { Options } from './options.ts'
import type { Run } from './summary.ts'
import type { Workload } from './workloads.ts'

export interface OurJob {
  readonly workload: Workload
  readonly query: string
  readonly rows: number
  readonly output: Readonly<Record<string, string>>
}

export async function register(service: WholeService, { name, features }: Workload, model: Uint8Array): Promise<void> {
  const query = features ? `?features=${features.join(',')}` : ''
  await service.call('PUT', `/api/v1/models/${name}${query}`, model)
}

/** The bytes of a workload's model. */
export function modelOf({ model }: Workload, models: string): Promise<Buffer> {
  return readFile(pathOf(model, models))
}

export function pathOf(model: string, models: string): string {
  return model.startsWith('/') ? model : join(models, model)
}

/** From the request until the end is heard of on the event stream. Throws when the job does not complete with every row. */
export async function runOurs(
  service: WholeService,
  job: OurJob,
  options: Options,
): Promise<Pick<Run, 'seconds' | 'cpu' | 'peakMegabytes'>> {
  const { batchRows, parallelism } = options
  await forgetPeaks(service.pids)
  const before = await processCosts(service.pids)
  const started = performance.now()
  const jobId = await service.submit({
    model_id: job.workload.name,
    input: { source: 'sql', query: job.query },
    output: { mode: 'overwrite', ...job.output },
    config: { batch_size: job.workload.batchRows ?? batchRows, parallelism },
  })
  await service.ended(jobId)
  const seconds = (performance.now() - started) / 1000
  const after = await processCosts(service.pids)
  const answer = await service.call('GET', `/api/v1/inference/batch/${jobId}`)
  if (answer.status !== 'completed' || answer.progress.written_rows !== job.rows)
    throw new Error(`job ${jobId}: ${JSON.stringify(answer)}`)
  const cpu = Object.entries(after).map(([name, cost]) => [name, cost.cpuSeconds - (before[name]?.cpuSeconds ?? 0)])
  const peaks = Object.entries(after).map(([name, cost]) => [name, cost.peakMegabytes])
  return { seconds, cpu: Object.fromEntries(cpu), peakMegabytes: Object.fromEntries(peaks) }
}
