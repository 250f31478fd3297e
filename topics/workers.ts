// workers.v1: a heartbeat every few seconds from each process. Key: worker_id. Partition: murmur2(worker_id).
import { avroCodec, optional, wordOf } from './avro.ts'
import { compactedTopic } from './topic.ts'

export const workersTopic = compactedTopic('workers.v1')

export const ROLES = ['api', 'controller', 'reader', 'scorer', 'sink'] as const
export type Role = (typeof ROLES)[number]

/** How often each process says that it is alive, and after how many ms of silence it counts as gone. */
export const HEARTBEAT_MS = 2_000
export const WORKER_LOST_MS = 10_000
/** One that stopped in order takes its record away itself; that of one that did not is kept for so long, to be seen. */
export const WORKER_KEPT_MS = 3_600_000

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
  /** Shares of the time since the heartbeat before, from 0 to 1: it worked, or waited for others to take what they were given. */
  busy_share: number
  back_pressured_share: number
  rows_per_second: number
  /** 95 of 100 chunks took no longer; null when there was none since the heartbeat before. */
  chunk_p95_ms: number | null
  /** The jobs that it worked on since. */
  jobs: string[]
  started_at: bigint
  at: bigint
}

export const workerCodec = avroCodec<WorkerHeartbeat>({
  type: 'record',
  name: 'WorkerHeartbeat',
  namespace: 'scoreline',
  fields: [
    { name: 'worker_id', type: 'string' },
    { name: 'role', ...wordOf(ROLES) },
    { name: 'pool', type: 'string' },
    { name: 'providers', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'devices', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'host', type: 'string' },
    { name: 'pid', type: 'int' },
    { name: 'rss_bytes', type: 'long' },
    { name: 'rss_peak_bytes', type: 'long' },
    { name: 'cpu_ms', type: 'long' },
    { name: 'partitions', type: { type: 'array', items: 'int' } },
    { name: 'busy_share', type: 'double', default: 0 },
    { name: 'back_pressured_share', type: 'double', default: 0 },
    { name: 'rows_per_second', type: 'double', default: 0 },
    { name: 'chunk_p95_ms', type: optional('double'), default: null },
    { name: 'jobs', type: { type: 'array', items: 'string' }, default: [] },
    { name: 'started_at', type: 'long' },
    { name: 'at', type: 'long' },
  ],
} as never)
