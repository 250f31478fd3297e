// commands.v1: what somebody wants to happen to a job. Key: tenant_id. Partition: murmur2(tenant_id). JSON, so that any
// producer can write one by hand, as the API does, or Avro in the Confluent wire format. Schemas: docs/schemas. Headers:
// `scoreline-signature` says who wrote it, `scoreline-origin` where a record came from that lay on a wrong partition.
import type { JobPlan } from './jobs.ts'
import { expiringTopic } from './topic.ts'

export const commandsTopic = expiringTopic('commands.v1', 7)

/**
 * Submit a job. `job` is the body of `POST /api/v1/inference/batch`; with a `schedule` in it, it makes a schedule whose
 * id has the digits of the job's. The job's id follows from tenant
 * and `idempotency_key`, or else from the record's topic, partition and offset, so a replay finds the same job.
 */
export interface SubmitCommand {
  type: 'submit'
  tenant_id: string
  idempotency_key?: string
  job: unknown
  /** Only the API sends one: it has validated the job already. From somebody else it does not count. */
  plan?: CommandPlan
}

/** A plan in JSON (rows as a decimal string), with the model version that it was made for. */
export type CommandPlan = Omit<JobPlan, 'total_rows'> & { total_rows: string; model_version: number }

export interface CancelCommand {
  type: 'cancel'
  tenant_id: string
  job_id: string
}

/** Change a schedule: `schedule` is the body of `PATCH /api/v1/inference/schedules/:schedule_id`; null deletes it. */
export interface ScheduleCommand {
  type: 'schedule'
  tenant_id: string
  schedule_id: string
  schedule: unknown
  /** Any text; the schedule's record then shows it, so whoever sent the command sees that it was carried out. */
  change_id?: string
}

export type Command = SubmitCommand | CancelCommand | ScheduleCommand
