// Reads a record of commands.v1: what any producer may have written. Pure.
import type { Command, CommandPlan, SubmitCommand } from '../../topics/commands.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { cut, MESSAGE_CHARS } from '../cut.ts'
import { jobIdOfKey, jobIdOfRecord, requestHash } from '../job/identity.ts'
import { NO_ROWS } from '../job/machine.ts'
import type { Planned } from '../job/plan.ts'
import { type JobSpec, parseJob, shownValue } from '../job/spec.ts'
import { newWebhook } from '../job/webhook.ts'

/** Where a record came from. */
export interface Origin {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

/** The command that a record's decoded value is, or why it is none. */
export function parseCommand(parsed: unknown): { command: Command } | { reason: string } {
  if (typeof parsed !== 'object' || parsed === null)
    return { reason: `expected a JSON object, got ${shownValue(parsed)}` }
  const { type, tenant_id, job_id, idempotency_key, job, plan, schedule_id, schedule, change_id } = parsed as Record<
    string,
    unknown
  >
  if (typeof tenant_id !== 'string' || !tenant_id) return { reason: 'tenant_id: expected a text' }
  if (type === 'cancel') {
    return typeof job_id === 'string' ? { command: parsed as Command } : { reason: 'job_id: expected a text' }
  }
  if (type === 'unschedule') {
    if (typeof schedule_id !== 'string') return { reason: 'schedule_id: expected a text' }
    return { command: { type: 'schedule', tenant_id, schedule_id, schedule: null } }
  }
  if (type === 'schedule') {
    if (typeof schedule_id !== 'string') return { reason: 'schedule_id: expected a text' }
    if (typeof schedule !== 'object') return { reason: 'schedule: expected an object of changes, or null to delete it' }
    if (change_id !== undefined && typeof change_id !== 'string') return { reason: 'change_id: expected a text' }
    return { command: parsed as Command }
  }
  if (type !== 'submit')
    return { reason: `type: expected submit, cancel, schedule or unschedule, got ${shownValue(type)}` }
  if (typeof job !== 'object' || job === null)
    return { reason: 'job: expected an object, the body of a submission over REST' }
  if (idempotency_key !== undefined && typeof idempotency_key !== 'string')
    return { reason: 'idempotency_key: expected a text' }
  if (job_id !== undefined) return { reason: 'job_id: leave it out; it follows from idempotency_key' }
  if (plan !== undefined && !isPlan(plan)) return { reason: 'plan: leave it out; only the API sends one' }
  return { command: parsed as Command }
}

function isPlan(value: unknown): value is CommandPlan {
  if (typeof value !== 'object' || value === null) return false
  const { model_version, model_sha256, query_columns, scored_columns, output_columns, total_rows, rows_estimated } =
    value as Record<string, unknown>
  return (
    Number.isInteger(model_version) &&
    typeof model_sha256 === 'string' &&
    Array.isArray(query_columns) &&
    Array.isArray(scored_columns) &&
    Array.isArray(output_columns) &&
    output_columns.every(Array.isArray) &&
    typeof total_rows === 'string' &&
    /^\d{1,18}$/.test(total_rows) &&
    typeof rows_estimated === 'boolean'
  )
}

/** The id of the job that a submission stands for; a replayed record gives the same. */
export function submittedJobId(command: SubmitCommand, origin: Origin): string {
  if (command.idempotency_key !== undefined) return jobIdOfKey(command.tenant_id, command.idempotency_key)
  return jobIdOfRecord(origin.topic, origin.partition, origin.offset)
}

/** A new job in the state `submitted`; one whose body is refused is `failed` from the start, with all reasons. */
export function newJob(
  command: SubmitCommand,
  jobId: string,
  defaults: { parallelism: number },
  at: number,
): JobSnapshot {
  const parsed = parseJob(command.job, defaults)
  const refused = 'problems' in parsed
  const spec = refused ? unreadableSpec(command.job) : parsed.spec
  return {
    job_id: jobId,
    tenant_id: command.tenant_id,
    schedule_id: null,
    status: refused ? 'failed' : 'submitted',
    model_id: spec.modelId,
    model_version: spec.modelVersion,
    input: spec.input,
    outputs: [...spec.outputs],
    config: spec.config,
    request_hash: requestHash(command.job),
    plan: null,
    lanes: [],
    pool: 'cpu',
    waiting_for: null,
    past_waits: [],
    history: refused ? [{ status: 'failed', attempt: 0, at: BigInt(at) }] : [],
    attempt: 0,
    failed_attempts: [],
    prepared_attempt: 0,
    submitted_at: BigInt(at),
    started_at: null,
    finished_at: refused ? BigInt(at) : null,
    ...NO_ROWS,
    results: [],
    error: refused
      ? {
          code: 'invalid_request',
          message: cut(parsed.problems.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; '), MESSAGE_CHARS),
        }
      : null,
    webhook: spec.webhook && newWebhook(spec.webhook),
  }
}

/** The plan that the API sent along, as JSON cannot hold 64-bit integers. */
export function plannedByApi(plan: CommandPlan): Planned {
  const { model_version, total_rows, ...rest } = plan
  return { modelVersion: model_version, plan: { ...rest, total_rows: BigInt(total_rows) } }
}

/** The specification of a job, as planning wants it. */
export function specOf(job: JobSnapshot): JobSpec {
  return {
    modelId: job.model_id,
    modelVersion: job.model_version,
    input: job.input,
    outputs: job.outputs,
    outputPointers: job.outputs.map((_, i) => (job.outputs.length === 1 ? '/output' : `/outputs/${i}`)),
    config: job.config,
    webhook: job.webhook,
  }
}

/** What can be told of a body that is not one: enough for a status. */
function unreadableSpec(body: unknown): JobSpec {
  const { model_id } = body as { model_id?: unknown }
  return {
    modelId: typeof model_id === 'string' ? cut(model_id, 200) : '',
    modelVersion: null,
    input: { source: 'sql', query: '', connection: '', key_column: null },
    outputs: [],
    outputPointers: [],
    config: {
      batch_size: 1,
      parallelism: 1,
      max_memory_gb: 1,
      timeout_minutes: 1,
      retry_count: 0,
      accelerator: 'auto',
      max_failed_rows: 0,
    },
    webhook: null,
  }
}
