// Reads a stretch of one topic's log on demand, for questions that are too rare and too large for a view in memory. One
// consumer, joined at the first question; its partitions are paused but for the one that is being read.
import { randomUUID } from 'node:crypto'
import type { Batch, Consumer } from 'kafkajs'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'
import { logEnds, whileLeaderless } from './log-ends.ts'

export interface LogRecord {
  readonly offset: bigint
  readonly key: Buffer | null
  readonly value: Buffer
  readonly headers: Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>
}

/** Returns false to stop reading. */
export type OnLogRecord = (record: LogRecord) => boolean

interface Question {
  readonly partition: number
  /** Where the log ended when the question was asked. */
  readonly end: bigint
  readonly onRecord: OnLogRecord
  /** The next offset to hand over. */
  next: bigint
  readonly answered: () => void
  readonly failed: (error: Error) => void
}

export class LogReader {
  readonly #client: KafkaClient
  readonly #topic: string
  #consumer: Promise<Consumer> | undefined
  #question: Question | null = null
  /** Questions follow each other. */
  #last: Promise<void> = Promise.resolve()

  constructor(client: KafkaClient, spec: TopicSpec) {
    this.#client = client
    this.#topic = client.topic(spec)
  }

  /** Hands over the committed records of a partition from an offset, or from a time (ms since 1970), up to its end now. */
  read(partition: number, from: { offset: bigint } | { time: number }, onRecord: OnLogRecord): Promise<void> {
    const next = this.#last.then(() => this.#ask(partition, from, onRecord))
    this.#last = next.catch(() => {})
    return next
  }

  async close(): Promise<void> {
    await (await this.#consumer)?.disconnect()
  }

  async #ask(partition: number, from: { offset: bigint } | { time: number }, onRecord: OnLogRecord): Promise<void> {
    const { start, end } = await this.#stretch(partition, from)
    if (start >= end) return
    // One that could not join must not answer for the questions to come.
    this.#consumer ??= this.#join().catch((error) => {
      this.#consumer = undefined
      throw error
    })
    const consumer = await this.#consumer
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#question = { partition, end, onRecord, next: start, answered: resolve, failed: reject }
    consumer.seek({ topic: this.#topic, partition, offset: String(start) })
    consumer.resume([{ topic: this.#topic, partitions: [partition] }])
    await promise
  }

  async #stretch(
    partition: number,
    from: { offset: bigint } | { time: number },
  ): Promise<{ start: bigint; end: bigint }> {
    const admin = this.#client.kafka.admin()
    await admin.connect()
    try {
      const ends = await logEnds(admin, this.#topic)
      const { low = 0n, high = 0n } = ends.find((each) => each.partition === partition) ?? {}
      if ('offset' in from) return { start: from.offset > low ? from.offset : low, end: high }
      const times = await whileLeaderless(() => admin.fetchTopicOffsetsByTimestamp(this.#topic, from.time))
      const offset = times.find((each) => each.partition === partition)?.offset
      return { start: offset === undefined ? high : BigInt(offset), end: high }
    } finally {
      await admin.disconnect()
    }
  }

  async #join(): Promise<Consumer> {
    const consumer = this.#client.kafka.consumer({
      groupId: this.#client.name(`read.${randomUUID()}`),
      sessionTimeout: this.#client.sessionTimeoutMs,
      heartbeatInterval: Math.floor(this.#client.sessionTimeoutMs / 4),
      maxWaitTimeInMs: 100,
      readUncommitted: false,
    })
    const joined = Promise.withResolvers<void>()
    // It may be rejected before anybody waits for it.
    joined.promise.catch(() => {})
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const partitions = payload.memberAssignment[this.#topic] ?? []
      const idle = partitions.filter((partition) => partition !== this.#question?.partition)
      consumer.pause([{ topic: this.#topic, partitions: idle }])
      joined.resolve()
    })
    // The end of a batch, and not its last record, tells the position: transaction markers occupy offsets too.
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      const question = this.#question
      if (question?.partition === payload.partition && BigInt(payload.lastOffset) + 1n >= question.end)
        this.#finish(consumer, question)
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (payload.restart) return
      joined.reject(payload.error)
      this.#lost(payload.error)
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [this.#topic], fromBeginning: true })
      await consumer.run({ autoCommit: false, eachBatch: async ({ batch }) => this.#take(consumer, batch) })
      await joined.promise
      return consumer
    } catch (error) {
      await consumer.disconnect().catch(() => {})
      throw error
    }
  }

  #take(consumer: Consumer, { partition, messages }: Batch): void {
    const question = this.#question
    if (question?.partition !== partition) return
    for (const { offset: at, key, value, headers = {} } of messages) {
      const offset = BigInt(at)
      if (offset >= question.end) break
      // A group that commits nothing begins again at the log's start when it has to rejoin.
      if (offset < question.next) continue
      question.next = offset + 1n
      if (value && !question.onRecord({ offset, key, value, headers })) {
        this.#finish(consumer, question)
        return
      }
    }
  }

  /** The consumer has ended for good: who waits is told, and the next question gets another. */
  #lost(error: Error): void {
    this.#consumer = undefined
    this.#question?.failed(error)
    this.#question = null
  }

  #finish(consumer: Consumer, question: Question): void {
    if (this.#question !== question) return
    this.#question = null
    consumer.pause([{ topic: this.#topic, partitions: [question.partition] }])
    question.answered()
  }
}
