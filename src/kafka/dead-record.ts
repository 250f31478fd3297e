// A record of a data topic that cannot be read, on its way to the dead letters instead of blocking its lane.
import { type DeadLetter, deadLettersTopic } from '../../topics/dead-letters.ts'
import type { Lane, LaneRecord } from './lane.ts'
import { controlPartition } from './partitioner.ts'
import type { OutgoingRecord } from './producer.ts'

export function deadRecord(record: LaneRecord, lane: Lane, reason: string): OutgoingRecord {
  const id = `${lane.topic}/${lane.partition}/${record.offset}`
  const letter: DeadLetter = {
    kind: 'record',
    reason,
    tenant_id: null,
    job_id: null,
    id,
    content: null,
    origin: { topic: lane.topic, partition: lane.partition, offset: String(record.offset) },
    at: new Date().toISOString(),
  }
  return {
    topic: deadLettersTopic,
    partition: controlPartition(id),
    key: id,
    value: Buffer.from(JSON.stringify(letter)),
  }
}
