// A connection looks for requests that wait their turn only while there are any. kafkajs looks after each answer, and then again in
// a millisecond for as long as it lives, because it takes "not throttled" for a time long ago: 740 timers a second and 2.5 % of a
// core for each connection that does nothing, of which a role has half a dozen.

/** What of kafkajs' queue of requests is used here. */
export interface QueuePrototype {
  readonly pending: readonly unknown[]
  scheduleCheckPendingRequests(): void
}

export function checkWhilePending(queue: QueuePrototype): void {
  const { scheduleCheckPendingRequests } = queue
  queue.scheduleCheckPendingRequests = function (this: QueuePrototype): void {
    if (this.pending.length > 0) scheduleCheckPendingRequests.call(this)
  }
}
