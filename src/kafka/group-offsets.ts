// Where the topics end and how far their consumer groups are, asked of the brokers at most once a second, however many look.
import type { Admin } from 'kafkajs'
import type { TopicSpec } from '../../topics/topic.ts'
import type { KafkaClient } from './client.ts'
import { type LogEnd, logEnds } from './log-ends.ts'

const FRESH_MS = 1_000

export interface GroupLag {
  readonly partition: number
  readonly low: bigint
  readonly high: bigint
  /** The group's next offset; null when it has committed none. */
  readonly committed: bigint | null
  /** Records that the group has before it: up to the end, from its offset or from the start of what is kept. */
  readonly lag: bigint
}

export class GroupOffsets {
  readonly #client: KafkaClient
  readonly #asked = new Map<string, { at: number; answer: Promise<unknown> }>()
  #admin: Promise<Admin> | undefined

  constructor(client: KafkaClient) {
    this.#client = client
  }

  ends(spec: TopicSpec): Promise<LogEnd[]> {
    const topic = this.#client.topic(spec)
    return this.#fresh(`ends ${topic}`, (admin) => logEnds(admin, topic))
  }

  /** By partition. `group` without the prefix. */
  async lags(spec: TopicSpec, group: string): Promise<GroupLag[]> {
    const topic = this.#client.topic(spec)
    const groupId = this.#client.name(group)
    const [ends, committed] = await Promise.all([
      this.ends(spec),
      this.#fresh(`${groupId} ${topic}`, (admin) => admin.fetchOffsets({ groupId, topics: [topic] })),
    ])
    const offsets = new Map(committed[0]?.partitions.map(({ partition, offset }) => [partition, BigInt(offset)]))
    return ends
      .map(({ partition, low, high }) => {
        const offset = offsets.get(partition) ?? -1n
        const from = offset > low ? offset : low
        return { partition, low, high, committed: offset < 0n ? null : offset, lag: high > from ? high - from : 0n }
      })
      .sort((a, b) => a.partition - b.partition)
  }

  /** Any other question of the same kind. */
  ask<T>(name: string, question: (admin: Admin) => Promise<T>): Promise<T> {
    return this.#fresh(name, question)
  }

  async close(): Promise<void> {
    await (await this.#admin?.catch(() => undefined))?.disconnect()
  }

  #fresh<T>(name: string, question: (admin: Admin) => Promise<T>): Promise<T> {
    const known = this.#asked.get(name)
    if (known && Date.now() - known.at < FRESH_MS) return known.answer as Promise<T>
    const answer = this.#connected().then(question)
    this.#asked.set(name, { at: Date.now(), answer })
    // What failed is asked again by whoever comes next.
    answer.catch(() => this.#asked.delete(name))
    return answer
  }

  #connected(): Promise<Admin> {
    this.#admin ??= (async () => {
      const admin = this.#client.kafka.admin()
      await admin.connect()
      return admin
    })()
    this.#admin.catch(() => {
      this.#admin = undefined
    })
    return this.#admin
  }
}
