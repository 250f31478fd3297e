// A consumer to which nothing comes asks less often. A fetch is answered as soon as there is something, however long it may wait; only
// a partition that is taken up again after a pause has to wait for the next one. So a fetch that leaves a partition out waits
// as short as the consumer was told, and any other longer: a service that is idle has a dozen consumers.

/** What of kafkajs' consumer group is used here. */
export interface FetchingGroup {
  maxWaitTime: number
  readonly subscriptionState: { paused(): readonly unknown[] }
  fetch(nodeId: unknown): Promise<unknown>
}

/** A group that rebalances hears of its members between their fetches, so this is not much longer. */
const IDLE_WAIT_MS = 500

export function fetchLazily(group: FetchingGroup): void {
  const { fetch } = group
  const told = new WeakMap<FetchingGroup, number>()
  group.fetch = function (this: FetchingGroup, nodeId: unknown): Promise<unknown> {
    const waitMs = told.get(this) ?? this.maxWaitTime
    told.set(this, waitMs)
    this.maxWaitTime = this.subscriptionState.paused().length ? waitMs : Math.max(waitMs, IDLE_WAIT_MS)
    return fetch.call(this, nodeId)
  }
}
