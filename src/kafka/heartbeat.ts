// Says every few seconds that this process is alive, and what it costs; a tombstone when it stops in order.
import { hostname } from 'node:os'
import { HEARTBEAT_MS, type Role, workerCodec, workersTopic } from '../../topics/workers.ts'
import type { Activity } from './activity.ts'
import { controlPartition } from './partitioner.ts'
import type { RecordProducer } from './producer.ts'

export interface HeartbeatOptions {
  readonly workerId: string
  readonly role: Role
  readonly pool: string
  readonly providers: readonly string[]
  readonly devices: readonly string[]
  readonly owned: () => number[]
  readonly activity: Activity
  readonly onFatal: (error: Error) => void
}

/** Sends the first heartbeat before it resolves. */
export async function startHeartbeat(
  producer: RecordProducer,
  options: HeartbeatOptions,
): Promise<{ stop(): Promise<void> }> {
  const startedAt = BigInt(Date.now())
  const partition = controlPartition(options.workerId)
  const send = async (): Promise<void> => {
    const usage = process.resourceUsage()
    const { busyShare, backPressuredShare, rowsPerSecond, chunkP95Ms, jobs } = options.activity.report()
    const value = workerCodec.encode({
      worker_id: options.workerId,
      role: options.role,
      pool: options.pool,
      providers: [...options.providers],
      devices: [...options.devices],
      host: hostname(),
      pid: process.pid,
      rss_bytes: BigInt(process.memoryUsage.rss()),
      rss_peak_bytes: BigInt(usage.maxRSS) * 1024n,
      cpu_ms: BigInt(Math.round((usage.userCPUTime + usage.systemCPUTime) / 1000)),
      partitions: options.owned(),
      busy_share: busyShare,
      back_pressured_share: backPressuredShare,
      rows_per_second: rowsPerSecond,
      chunk_p95_ms: chunkP95Ms,
      jobs,
      started_at: startedAt,
      at: BigInt(Date.now()),
    })
    await producer.send([{ topic: workersTopic, partition, key: options.workerId, value }])
  }
  await send()
  let sending = Promise.resolve()
  const timer = setInterval(() => {
    sending = sending.then(send).catch(options.onFatal)
  }, HEARTBEAT_MS)
  return {
    stop: async () => {
      clearInterval(timer)
      await sending
      await producer.send([{ topic: workersTopic, partition, key: options.workerId, value: null }])
    },
  }
}
