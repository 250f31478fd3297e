// schedules.v1: jobs that start by the clock, and their last firing. Key: schedule_id. Partition: murmur2(tenant_id). A
// firing is written in one transaction with the job that it makes.
import { avroCodec, optional, wordOf } from './avro.ts'
import { compactedTopic } from './topic.ts'

export const schedulesTopic = compactedTopic('schedules.v1')

/**
 * What a firing does while a job of the same schedule is not finished: nothing, wait for its end (one firing waits, more
 * are skipped), or start a job beside it.
 */
export const OVERLAP_POLICIES = ['skip', 'buffer_one', 'allow'] as const
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number]

/** Why a firing made no job: one was not finished, or no controller ran until it was too old. */
export const SKIP_REASONS = ['overlap', 'missed'] as const
export type SkipReason = (typeof SKIP_REASONS)[number]

/** A time that has passed: the job it made, or why it made none. */
export interface Firing {
  fire_at: bigint
  job_id: string | null
  skipped: SkipReason | null
}

/** A schedule as it is now. Times are milliseconds since 1970 (UTC); a firing is named by the time it was due. */
export interface Schedule {
  schedule_id: string
  tenant_id: string
  cron: string
  timezone: string
  enabled: boolean
  overlap: OverlapPolicy
  /** How old a firing may be that nobody was there to make. */
  catchup_minutes: number
  /** JSON of the submission that each firing stands for. */
  job: string
  /** SHA-256 of the whole submission's canonical JSON: the same Idempotency-Key with another body is a conflict. */
  request_hash: string
  created_at: bigint
  last_fired_at: bigint | null
  last_job_id: string | null
  last_skipped: { fire_at: bigint; reason: SkipReason } | null
  /** Null while it is not enabled. */
  next_fire_at: bigint | null
  /** A firing that waits for the end of the job before it. */
  waiting_fire_at: bigint | null
  /** The `change_id` of the last command that was carried out. */
  change_id: string | null
  /** The last of them, newest first: such a command that comes again, late or replayed, is not carried out again. */
  recent_changes: string[]
  /** The last firings, newest first. */
  recent_firings: Firing[]
}

export const scheduleCodec = avroCodec<Schedule>({
  type: 'record',
  name: 'Schedule',
  namespace: 'scoreline',
  fields: [
    { name: 'schedule_id', type: 'string' },
    { name: 'tenant_id', type: 'string' },
    { name: 'cron', type: 'string' },
    { name: 'timezone', type: 'string' },
    { name: 'enabled', type: 'boolean' },
    { name: 'overlap', ...wordOf(OVERLAP_POLICIES) },
    { name: 'catchup_minutes', type: 'int' },
    { name: 'job', type: 'string' },
    { name: 'request_hash', type: 'string' },
    { name: 'created_at', type: 'long' },
    { name: 'last_fired_at', type: optional('long'), default: null },
    { name: 'last_job_id', type: optional('string'), default: null },
    {
      name: 'last_skipped',
      type: optional({
        type: 'record',
        name: 'SkippedFiring',
        fields: [
          { name: 'fire_at', type: 'long' },
          { name: 'reason', ...wordOf(SKIP_REASONS) },
        ],
      } as never),
      default: null,
    },
    { name: 'next_fire_at', type: optional('long'), default: null },
    { name: 'waiting_fire_at', type: optional('long'), default: null },
    { name: 'change_id', type: optional('string'), default: null },
    { name: 'recent_changes', type: { type: 'array', items: 'string' }, default: [] },
    {
      name: 'recent_firings',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Firing',
          fields: [
            { name: 'fire_at', type: 'long' },
            { name: 'job_id', type: optional('string'), default: null },
            { name: 'skipped', type: optional('string'), default: null },
          ],
        },
      },
      default: [],
    },
  ],
} as never)
