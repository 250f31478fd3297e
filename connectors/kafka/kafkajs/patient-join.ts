// A consumer group is joined for as long as it takes. kafkajs gives a join up for any passing error but two (a coordinator
// that still loads its groups after a broker's restart is not among them), forgets that it did, and goes on fetching for the
// old assignment: whoever stopped work when the group began to rebalance would wait for the new assignment for ever.
import { setTimeout as pause } from 'node:timers/promises'

/** What of kafkajs' consumer group is used here. */
export interface GroupPrototype {
  joinAndSync(): Promise<void>
}

/** What of kafkajs' runner, which works for one consumer group until it is stopped. */
export interface RunnerPrototype {
  readonly consumerGroup: GroupPrototype
  stop(): Promise<void>
}

/** On top of what the library waits by itself for brokers and coordinators that cannot be found. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 200

/** Error that makes the library's runner restart the consumer, which begins with a join. */
const RESTARTED_BY = 'KafkaJSNoBrokerAvailableError'

export function joinPatiently(group: GroupPrototype, runner: RunnerPrototype): void {
  const { joinAndSync } = group
  const { stop } = runner
  // Whoever stops a consumer waits for its join; with the brokers away that must not be all our patience.
  const stopped = new WeakSet<GroupPrototype>()
  runner.stop = function (this: RunnerPrototype): Promise<void> {
    stopped.add(this.consumerGroup)
    return stop.call(this)
  }
  group.joinAndSync = async function (this: GroupPrototype): Promise<void> {
    const until = Date.now() + PATIENCE_MS
    for (;;) {
      try {
        return await joinAndSync.call(this)
      } catch (error) {
        const { retriable, name } = error as { retriable?: boolean; name?: string }
        if (!retriable || name === RESTARTED_BY) throw error
        if (Date.now() > until) throw Object.assign(error as Error, { name: RESTARTED_BY })
        await pause(PAUSE_MS)
        if (stopped.has(this)) throw error
      }
    }
  }
}
