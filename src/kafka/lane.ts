// One assigned partition as its owner sees it: a queue of fetched records, and the commit of what became durable.
// The consumer fills it without waiting, so that fetching goes on while the owner works.

export interface LaneRecord {
  readonly offset: bigint
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>
}

/** What a lane needs of the consumer that feeds it. */
export interface LaneFeed {
  pause(): void
  resume(): void
  /** Makes the next fetch begin at `offset`. */
  seek(offset: bigint): void
  commit(offset: bigint): Promise<void>
  /** The group's committed offset, or null if there is none. */
  committed(): Promise<bigint | null>
}

/** Lets a take wait until there is more to take: larger ones cost less for each record. */
export interface Patience {
  /** In `performance.now()`'s time; then whatever there is will do. */
  readonly until: number
  /** Nor does it wait any longer once such a record is there. */
  readonly last: (record: LaneRecord) => boolean
}

/** Above this many queued bytes a lane stops fetching, below half of it it goes on: memory does not grow with lag. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024

export class Lane {
  readonly topic: string
  readonly partition: number
  /** The owner before died at work, on something before this offset that it has not committed; 0: it did not. */
  doubtfulBefore = 0n
  readonly #feed: LaneFeed
  readonly #revoked = new AbortController()
  readonly #ending = new AbortController()
  #queue: LaneRecord[] = []
  #queuedBytes = 0
  #paused = false
  #wake: (() => void) | null = null
  #emptied = Promise.withResolvers<void>()

  constructor(topic: string, partition: number, feed: LaneFeed) {
    this.topic = topic
    this.partition = partition
    this.#feed = feed
  }

  /** Aborts when the partition was taken away: no side effect after that. */
  get revoked(): AbortSignal {
    return this.#revoked.signal
  }

  /** Aborts when no more records will come: the partition is gone, or the process is stopping. Nothing is to be waited for then. */
  get ending(): AbortSignal {
    return this.#ending.signal
  }

  get ended(): boolean {
    return this.#ending.signal.aborted
  }

  /**
   * The next records in order, at most `maxBytes` of values (but at least one record). Waits for some, and with patience
   * for as many as that; null when the lane has ended and the owner should finish.
   */
  async next(maxBytes = Number.POSITIVE_INFINITY, patience?: Patience): Promise<LaneRecord[] | null> {
    for (;;) {
      if (this.ended) return null
      const waitMs = this.#queue.length ? this.#waitMs(maxBytes, patience) : Number.POSITIVE_INFINITY
      if (waitMs <= 0) return this.#take(maxBytes)
      await this.#pushed(waitMs)
    }
  }

  /** How long what is queued may wait for more. */
  #waitMs(maxBytes: number, patience: Patience | undefined): number {
    if (!patience || this.#queuedBytes >= maxBytes || this.#queue.some(patience.last)) return 0
    return patience.until - performance.now()
  }

  async #pushed(maxMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = Number.isFinite(maxMs) ? setTimeout(resolve, maxMs) : undefined
    await promise
    clearTimeout(timer)
  }

  /** For the consumer: what is fetched and not taken. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** For the consumer: resolves when the owner has taken everything, or the lane has ended. */
  async hungry(): Promise<void> {
    if (this.#queue.length && !this.ended) await this.#emptied.promise
  }

  /** Commits: everything before `offset` is durable. Does nothing once revoked. */
  async commit(offset: bigint): Promise<void> {
    if (!this.#revoked.signal.aborted) await this.#feed.commit(offset)
  }

  /** Forgets what is queued and reads again from the group's committed offset (or the partition's start). */
  async rewind(): Promise<void> {
    this.#clear()
    const offset = (await this.#feed.committed()) ?? 0n
    if (this.#revoked.signal.aborted) return
    this.#clear()
    this.#feed.seek(offset)
  }

  /** For the consumer: hands over fetched records. */
  push(records: readonly LaneRecord[]): void {
    if (this.ended) return
    for (const record of records) {
      this.#queue.push(record)
      this.#queuedBytes += record.value?.byteLength ?? 0
    }
    if (!this.#paused && this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.#paused = true
      this.#feed.pause()
    }
    this.#signal()
  }

  /** For the consumer: the partition is gone. */
  revoke(): void {
    this.#revoked.abort()
    this.#ending.abort()
    this.#clear()
    this.#signal()
  }

  /** For the consumer: the process is stopping; what was already handed out may still be finished and committed. */
  drain(): void {
    this.#ending.abort()
    this.#emptyNow()
    this.#signal()
  }

  #take(maxBytes: number): LaneRecord[] {
    let bytes = 0
    let count = 0
    for (const record of this.#queue) {
      bytes += record.value?.byteLength ?? 0
      if (count > 0 && bytes > maxBytes) {
        bytes -= record.value?.byteLength ?? 0
        break
      }
      count++
    }
    this.#queuedBytes -= bytes
    if (this.#paused && this.#queuedBytes < MAX_QUEUED_BYTES / 2) {
      this.#paused = false
      this.#feed.resume()
    }
    const taken = this.#queue.splice(0, count)
    if (!this.#queue.length) this.#emptyNow()
    return taken
  }

  #clear(): void {
    this.#queue = []
    this.#queuedBytes = 0
    this.#emptyNow()
    if (this.#paused) {
      this.#paused = false
      this.#feed.resume()
    }
  }

  #emptyNow(): void {
    this.#emptied.resolve()
    this.#emptied = Promise.withResolvers()
  }

  #signal(): void {
    this.#wake?.()
    this.#wake = null
  }
}
