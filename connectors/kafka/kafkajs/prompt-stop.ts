// A consumer that is stopped does not wait for its fetch, which may take as long as nothing comes. kafkajs waits for the answer before it
// leaves the group, and again before it closes the connection; nobody would take in what is in it.
import type { FetchingGroup } from './lazy-fetch.ts'

/** What of kafkajs' consumer group is used here: its brokers, each with a connection for fetches alone. */
export interface StoppedGroup extends Omit<FetchingGroup, 'fetch'> {
  readonly cluster: { readonly brokerPool: { readonly brokers: Readonly<Record<string, Broker>> } }
  fetch(nodeId: unknown): Promise<readonly unknown[]>
}

interface Broker {
  readonly connectionPool: { readonly pool: readonly Connection[] }
}

interface Connection {
  isConnected(): boolean
  rejectRequests(error: Error): void
  disconnect(): Promise<unknown>
}

/** What of kafkajs' runner. */
export interface StoppedRunner {
  readonly consumerGroup: StoppedGroup
  stop(): Promise<void>
}

/** Which of a broker's connections has the fetches. */
const FETCHES = 1

export function stopPromptly(group: StoppedGroup, runner: StoppedRunner): void {
  const { fetch } = group
  const { stop } = runner
  /** Of each group, what ends its fetches: one for each broker. */
  const waiting = new WeakMap<StoppedGroup, Set<() => void>>()
  group.fetch = function (this: StoppedGroup, nodeId: unknown): Promise<readonly unknown[]> {
    const ends = waiting.get(this) ?? new Set()
    waiting.set(this, ends)
    return new Promise((resolve, reject) => {
      const end = () => resolve([])
      ends.add(end)
      fetch
        .call(this, nodeId)
        .then(resolve, reject)
        .finally(() => ends.delete(end))
    })
  }
  runner.stop = async function (this: StoppedRunner): Promise<void> {
    // From here on the runner takes nothing in.
    const stopped = stop.call(this)
    for (const end of waiting.get(this.consumerGroup) ?? []) end()
    for (const broker of Object.values(this.consumerGroup.cluster.brokerPool.brokers)) hangUp(broker)
    await stopped
  }
}

function hangUp({ connectionPool }: Broker): void {
  const connection = connectionPool.pool[FETCHES]
  if (!connection?.isConnected()) return
  connection.rejectRequests(new Error('the consumer is stopped'))
  // It has no request that this would wait for.
  connection.disconnect().catch(() => {})
}
