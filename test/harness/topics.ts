// New topics on a broker of a test.
import type { Admin, ITopicConfig } from 'kafkajs'
import { until } from './until.ts'

/** Creates topics, and waits until the broker leads them. The client's own wait gives up when a busy broker has not heard of them yet. */
export async function createTopics(admin: Admin, topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics, waitForLeaders: false })
  await until(async () => {
    const found = await admin.fetchTopicMetadata({ topics: topics.map(({ topic }) => topic) })
    return found.topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0))
  })
}
