// Rows that could not be scored, on their way to the dead letters. They leave the scorer together with the chunk that they
// come from, before its offset is committed: whoever hears that rows failed can read which, and why.
import type { ChunkHeader } from '../../topics/chunks.ts'
import { type DeadLetter, deadLettersTopic } from '../../topics/dead-letters.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { FailedRow } from '../../topics/scored.ts'
import type { Lane, LaneRecord } from '../kafka/lane.ts'
import { controlPartition } from '../kafka/partitioner.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'

/** One letter for each row; a chunk that is scored again gives letters with the same ids. */
export function deadRows(
  job: JobSnapshot,
  header: ChunkHeader,
  record: LaneRecord,
  lane: Lane,
  failed: readonly FailedRow[],
): OutgoingRecord[] {
  const { job_id, tenant_id, input } = job
  const at = new Date().toISOString()
  return failed.map((row) => {
    const letter: DeadLetter = {
      kind: 'row',
      reason: row.reason,
      tenant_id,
      job_id,
      id: `${job_id}/${header.attempt}/${lane.partition}/${header.seq}/${row.row}`,
      attempt: header.attempt,
      key: input.key_column === null ? null : (row.input[input.key_column] ?? null),
      content: row.input,
      origin: { topic: lane.topic, partition: lane.partition, offset: String(record.offset) },
      at,
    }
    const value = Buffer.from(JSON.stringify(letter))
    return { topic: deadLettersTopic, partition: controlPartition(tenant_id), key: job_id, value }
  })
}
