// Workers that died and were not heard of for long: their heartbeats would stay in the compacted topic for ever, and be read by every
// process that starts. Whoever owns a partition of the commands takes them out of the same one of workers.v1. Pure.
import { WORKER_KEPT_MS, type WorkerHeartbeat, workersTopic } from '../../topics/workers.ts'
import { controlPartition } from '../kafka/partitioner.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'

/** What takes them away. One that was only paused comes back with its next heartbeat. */
export function forgottenWorkers(
  workers: Iterable<Pick<WorkerHeartbeat, 'worker_id' | 'at'>>,
  partition: number,
  at: number,
): OutgoingRecord[] {
  const records: OutgoingRecord[] = []
  for (const { worker_id: key, at: heard } of workers)
    if (at - Number(heard) >= WORKER_KEPT_MS && controlPartition(key) === partition)
      records.push({ topic: workersTopic, partition, key, value: null })
  return records
}
