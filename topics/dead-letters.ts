// dead-letters.v1: what could not be processed, with the reason and where it came from. Key: job_id (or the origin's key).
// Partition: murmur2(tenant_id). JSON, for people and their tools.
import { expiringTopic } from './topic.ts'

export const deadLettersTopic = expiringTopic('dead-letters.v1', 30)

/**
 * `row` is a row that could not be scored; `command` a record that is no command, or one for a job that is not there;
 * `record` a record of a data topic that nobody of this service wrote.
 */
export interface DeadLetter {
  kind: 'row' | 'command' | 'record'
  reason: string
  tenant_id: string | null
  job_id: string | null
  /** Of a row: chunk and position in it; a replay repeats the same id, so readers can drop the second. */
  id: string
  /** Of a row: the attempt that it failed in, and its value in the job's key column as text, if the job names one. */
  attempt?: number
  key?: string | null
  /** A row's input columns as text, or the command's value; null where that would be no text. */
  content: unknown
  origin: { topic: string; partition: number; offset: string }
  at: string
}
