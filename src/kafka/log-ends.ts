// Where the partitions of a topic begin and end now.
import type { Admin } from 'kafkajs'

/**
 * How long a partition may be without a leader that knows it, or a group without a coordinator: a new topic, an election, a
 * broker that restarts.
 */
const LEADERLESS_MS = 30_000

export interface LogEnd {
  readonly partition: number
  readonly low: bigint
  /** The next offset to come; behind the last stable one while a transaction is open. */
  readonly high: bigint
}

export async function logEnds(admin: Admin, topic: string): Promise<LogEnd[]> {
  const ends = await whileLeaderless(() => admin.fetchTopicOffsets(topic))
  return ends.map(({ partition, low, high }) => ({ partition, low: BigInt(low), high: BigInt(high) }))
}

/** Repeats a question about partitions or groups as long as the brokers do not agree on who leads them. */
export async function whileLeaderless<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + LEADERLESS_MS
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error as { retriable?: boolean }).retriable || Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
