// workers.v1: a heartbeat every few seconds from each process. Key: worker_id. Partition: murmur2(worker_id).
import { avroCodec } from './avro.ts'
import { compactedTopic } from './topic.ts'

export const workersTopic = compactedTopic('workers.v1')

export const ROLES = ['api', 'controller', 'reader', 'scorer', 'sink'] as const
export type Role = (typeof ROLES)[number]

/** How often each process says that it is alive, and after how many ms of silence it counts as gone. */
export const HEARTBEAT_MS = 2_000
export const WORKER_LOST_MS = 10_000

export interface WorkerHeartbeat {
  worker_id: string
  role: Role
  /** Of a scorer; empty for the other roles. */
  pool: string
  /** Of a scorer: ONNX Runtime's execution providers, best first. */
  providers: string[]
  /** Of a scorer: what it computes on, as the machine names it. */
  devices: string[]
  host: string
  pid: number
  /** Resident memory in bytes, now and at its highest. */
  rss_bytes: bigint
  rss_peak_bytes: bigint
  /** CPU time since start, in milliseconds. */
  cpu_ms: bigint
  /** Lanes or partitions that it owns. */
  partitions: number[]
  started_at: bigint
  at: bigint
}

export const workerCodec = avroCodec<WorkerHeartbeat>({
  type: 'record',
  name: 'WorkerHeartbeat',
  namespace: 'scoreline',
  fields: [
    { name: 'worker_id', type: 'string' },
    { name: 'role', type: { type: 'enum', name: 'Role', symbols: ROLES } },
    { name: 'pool', type: 'string' },
    { name: 'providers', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'devices', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'host', type: 'string' },
    { name: 'pid', type: 'int' },
    { name: 'rss_bytes', type: 'long' },
    { name: 'rss_peak_bytes', type: 'long' },
    { name: 'cpu_ms', type: 'long' },
    { name: 'partitions', type: { type: 'array', items: 'int' } },
    { name: 'started_at', type: 'long' },
    { name: 'at', type: 'long' },
  ],
} as never)
