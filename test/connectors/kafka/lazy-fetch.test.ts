// How long a consumer's fetch may wait for records.
import { expect, test } from 'vitest'
import { type FetchingGroup, fetchLazily } from '../../../connectors/kafka/kafkajs/lazy-fetch.ts'

test('as long as the consumer was told while a partition is paused, else longer', async () => {
  const waited: number[] = []
  let paused: string[] = []
  class Group {
    maxWaitTime: number
    readonly subscriptionState = { paused: () => paused }

    constructor(maxWaitTime: number) {
      this.maxWaitTime = maxWaitTime
    }

    async fetch(): Promise<void> {
      waited.push(this.maxWaitTime)
    }
  }
  fetchLazily(Group.prototype as unknown as FetchingGroup)
  const [short, long] = [new Group(100), new Group(5_000)]
  for (const now of [[], ['lane'], []]) {
    paused = now
    for (const group of [short, long]) await group.fetch()
  }
  expect(waited).toEqual([500, 5_000, 100, 5_000, 500, 5_000])
})
