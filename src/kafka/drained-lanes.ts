// Which of a job's lanes have nothing left to score, by what the scorers' group has committed.
import { chunksTopics } from '../../topics/chunks.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { KafkaClient } from './client.ts'
import { logEnds, whileLeaderless } from './log-ends.ts'

/** The group of a pool's scorers. */
export function scorerGroup(pool: 'cpu' | 'gpu'): string {
  return `scorer.${pool}`
}

/**
 * The job's lanes whose end is committed. One offset may be left: the marker of a transaction, which nobody consumes; so a
 * single chunk that waits may be overlooked, and the answer is good for flow control only.
 */
export async function drainedLanes(client: KafkaClient, job: Pick<JobSnapshot, 'lanes' | 'pool'>): Promise<number[]> {
  const topic = client.topic(chunksTopics[job.pool])
  const admin = client.kafka.admin()
  await admin.connect()
  try {
    const [ends, [committed]] = await Promise.all([
      logEnds(admin, topic),
      whileLeaderless(() => admin.fetchOffsets({ groupId: client.name(scorerGroup(job.pool)), topics: [topic] })),
    ])
    return job.lanes.filter((lane) => {
      const end = ends.find(({ partition }) => partition === lane)
      const offset = committed?.partitions.find(({ partition }) => partition === lane)?.offset
      return end !== undefined && offset !== undefined && end.high - BigInt(offset) <= 1n
    })
  } finally {
    await admin.disconnect()
  }
}
