// Submitting and cancelling over REST: everything is checked first, then the wish goes to commands.v1 like anybody
// else's, and the answer waits until this process has seen the controller take it up.
import { randomUUID } from 'node:crypto'
import { type Command, commandsTopic } from '../../../topics/commands.ts'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { SIGNATURE_HEADER, signatureOf } from '../../job/command-signature.ts'
import { jobIdOfKey, requestHash, scheduleIdOf } from '../../job/identity.ts'
import { type Planned, planJob } from '../../job/plan.ts'
import { type JobSpec, parseJob } from '../../job/spec.ts'
import { controlPartition } from '../../kafka/partitioner.ts'
import type { ProcessContext } from '../../process.ts'
import { webhookProblems } from '../../webhook/check.ts'
import { HttpProblem, invalidRequest } from '../problem.ts'
import type { Estimated } from './history.ts'

/** How long an answer waits for the controller. Past it the command is safe in Kafka, only not yet taken up. */
export const TAKE_UP_MS = 10_000

export interface Submitted {
  readonly jobId: string
  /** What an estimate of its duration goes by. */
  readonly estimated: Estimated
  readonly rows: bigint
  readonly rowsEstimated: boolean
  readonly job: JobSnapshot | undefined
}

/** Submits a job; the same idempotency key and body give the job that is there already. Throws `HttpProblem`. */
export async function submitJob(
  body: unknown,
  tenantId: string,
  idempotencyKey: string | undefined,
  context: ProcessContext,
): Promise<Submitted> {
  const { views } = context
  const key = idempotencyKey ?? randomUUID()
  const jobId = jobIdOfKey(tenantId, key)
  if (idempotencyKey !== undefined) {
    const existing = await views.findJob(jobId)
    if (existing) return sameJob(existing, body)
    const scheduleId = scheduleIdOf(jobId)
    if (views.schedules.has(scheduleId)) throw idempotencyConflict(`schedule ${scheduleId}`)
  }
  const checked = await checkJob(body, tenantId, context)
  const { plan, modelVersion } = checked
  // Another request with the same key may have been faster while this one was checked.
  const meanwhile = views.jobs.get(jobId)
  if (meanwhile) return sameJob(meanwhile, body)
  const command: Command = {
    type: 'submit',
    tenant_id: tenantId,
    idempotency_key: key,
    job: body,
    plan: { ...plan, total_rows: String(plan.total_rows), model_version: modelVersion },
  }
  const seen = await sendAndSee(command, jobId, () => true, context)
  // An answer that came while nobody looked is in the view.
  const job = seen ?? (await views.findJob(jobId))
  // Two requests with one key at the same moment: the controller took the first.
  if (job) return sameJob(job, body)
  return {
    jobId,
    estimated: estimatedOf(tenantId, checked),
    rows: plan.total_rows,
    rowsEstimated: plan.rows_estimated,
    job,
  }
}

type Checked = Planned & { readonly spec: JobSpec }

/** Everything that a submission is checked for; changes nothing. Throws `HttpProblem` with all faults. */
export async function checkJob(
  body: unknown,
  tenantId: string,
  { config, connectors, views }: ProcessContext,
): Promise<Checked> {
  const parsed = parseJob(body, { parallelism: config.defaultParallelism })
  if ('problems' in parsed) throw invalidRequest(parsed.problems)
  const planned = await planJob(parsed.spec, {
    source: connectors.source,
    sinkFor: connectors.sinkFor,
    findModel: (modelId, version) => views.findModel(tenantId, modelId, version),
    webhookProblems: (url) => webhookProblems(url, tenantId, config.webhooks),
    maxInputRows: config.maxInputRows,
  })
  if ('problems' in planned) throw invalidRequest(planned.problems)
  return { spec: parsed.spec, ...planned }
}

/** A job that is not there yet, as far as its duration goes. */
export function estimatedOf(tenantId: string, { spec, plan, modelVersion }: Checked): Estimated {
  const { modelId, outputs } = spec
  return { tenant_id: tenantId, model_id: modelId, model_version: modelVersion, outputs, rows: plan.total_rows }
}

/** Asks for a cancellation and gives the job's state after it was taken up. Throws `HttpProblem`. */
export async function cancelJob(job: JobSnapshot, context: ProcessContext): Promise<JobSnapshot> {
  if (job.status === 'cancelled') return job
  if (job.status === 'completed' || job.status === 'failed') {
    throw new HttpProblem(
      409,
      'job_finished',
      `job ${job.job_id} is ${job.status}; only an unfinished job can be cancelled`,
    )
  }
  // While the result is being made visible it is too late to cancel, and the job completes.
  const command: Command = { type: 'cancel', tenant_id: job.tenant_id, job_id: job.job_id }
  const seen = await sendAndSee(command, job.job_id, (change) => change.finished_at !== null, context)
  return seen ?? context.views.jobs.get(job.job_id) ?? job
}

/** The key was used for something else. */
export function idempotencyConflict(what: string): HttpProblem {
  return new HttpProblem(
    409,
    'idempotency_conflict',
    `this Idempotency-Key belongs to ${what}, submitted with another body; use a new key`,
  )
}

function sameJob(job: JobSnapshot, body: unknown): Submitted {
  if (job.request_hash !== requestHash(body)) throw idempotencyConflict(`job ${job.job_id}`)
  const rows = job.plan?.total_rows ?? 0n
  return {
    jobId: job.job_id,
    estimated: { ...job, rows },
    rows,
    rowsEstimated: job.plan?.rows_estimated ?? false,
    job,
  }
}

export async function sendCommand(command: Command, { config, producer }: ProcessContext): Promise<void> {
  const partition = controlPartition(command.tenant_id)
  const value = Buffer.from(JSON.stringify(command))
  const signature = signatureOf(config.commandKeys, command.tenant_id, value)
  const headers: Record<string, string> = signature === null ? {} : { [SIGNATURE_HEADER]: signature }
  await producer.send([{ topic: commandsTopic, partition, key: command.tenant_id, value, headers }])
}

/** Sends a command and gives the job's first snapshot from then on that fits; undefined when it takes too long. */
async function sendAndSee(
  command: Command,
  jobId: string,
  fits: (job: JobSnapshot) => boolean,
  context: ProcessContext,
): Promise<JobSnapshot | undefined> {
  const { changes } = context.views
  const seen = Promise.withResolvers<JobSnapshot | undefined>()
  const onJob = (job: JobSnapshot): void => {
    if (job.job_id === jobId && fits(job)) seen.resolve(job)
  }
  const timer = setTimeout(seen.resolve, TAKE_UP_MS, undefined)
  changes.on('job', onJob)
  try {
    await sendCommand(command, context)
    return await seen.promise
  } finally {
    clearTimeout(timer)
    changes.off('job', onJob)
  }
}

/** Milliseconds as answers have them, in thousandths of a minute. */
export function minutesOf(ms: number): number {
  return Math.round(ms / 60) / 1000
}
