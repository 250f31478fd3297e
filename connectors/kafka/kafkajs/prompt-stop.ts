// A consumer that is stopped gives up the fetch that waits at a broker for records, however long it would: nobody would take in what
// comes. kafkajs waits for the answer. It still waits for whatever else it does between fetches, such as a join of its group.

/** What of kafkajs' consumer group is used here: its brokers, each with a connection for fetches alone. */
export interface StoppedGroup {
  maxWaitTime: number
  readonly cluster: { readonly brokerPool: { readonly brokers: Readonly<Record<string, Broker>> } }
  recoverFromFetch(error: Error): Promise<void>
}

interface Broker {
  readonly connectionPool: { readonly pool: readonly Connection[] }
}

interface Connection {
  readonly requestQueue: {
    readonly inflight: ReadonlyMap<number, Pending>
    readonly pending: readonly Pending[]
  }
  rejectRequests(error: Error): void
  disconnect(): Promise<unknown>
}

interface Pending {
  readonly entry: { readonly apiKey: number }
}

/** What of kafkajs' runner. */
export interface StoppedRunner {
  readonly consumerGroup: StoppedGroup
  stop(): Promise<void>
}

/** Which of a broker's connections has the fetches. */
const FETCHES = 1
/** The protocol's number of a Fetch request. */
const FETCH = 1

const STOPPED = new Error('the consumer is stopped')

export function stopPromptly(group: StoppedGroup, runner: StoppedRunner): void {
  const { recoverFromFetch } = group
  const { stop } = runner
  group.recoverFromFetch = async function (this: StoppedGroup, error: Error): Promise<void> {
    if (error !== STOPPED) await recoverFromFetch.call(this, error)
  }
  runner.stop = async function (this: StoppedRunner): Promise<void> {
    // From here on the runner takes nothing in.
    const stopped = stop.call(this)
    // A fetch that is not sent yet comes back at once. The group is not used again: a consumer that runs again has another.
    this.consumerGroup.maxWaitTime = 0
    for (const { connectionPool } of Object.values(this.consumerGroup.cluster.brokerPool.brokers))
      giveUp(connectionPool.pool[FETCHES])
    await stopped
  }
}

/** Unless there is a login under way, or nothing at all. */
function giveUp(connection: Connection | undefined): void {
  if (!connection) return
  const { inflight, pending } = connection.requestQueue
  const requests = [...inflight.values(), ...pending]
  if (!requests.length || requests.some(({ entry }) => entry.apiKey !== FETCH)) return
  connection.rejectRequests(STOPPED)
  // It has no request left that this would wait for.
  connection.disconnect().catch(() => {})
}
