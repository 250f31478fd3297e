// The library's connections to a cluster, for requests that it does not know itself: they go with whatever the connections are
// secured by.
import type { Kafka } from './library.ts'

/** A request and how its answer is read, in the shape of the library's own. */
export interface Protocol<T> {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    encode(): Promise<{ readonly buffer: Buffer }>
  }
  readonly response: { decode(bytes: Buffer): Promise<T>; parse(answer: T): Promise<T> }
}

export interface Broker {
  /** By API key; set once it is connected. */
  readonly versions: Readonly<Record<number, { readonly maxVersion: number }>>
  readonly connectionPool: { send<T>(protocol: Protocol<T>): Promise<T> }
}

/** The parts of the library that are used here, and not in its types. */
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  findBroker(of: { nodeId: number | string }): Promise<Broker>
  readonly brokerPool: {
    refreshMetadata(topics: readonly string[]): Promise<void>
    readonly metadata: { readonly brokers: readonly { nodeId: number }[] }
  }
}

/** Works with all brokers that the cluster has at the moment, over connections of its own. */
export async function withBrokers<T>(kafka: Kafka, work: (brokers: readonly Broker[]) => Promise<T>): Promise<T> {
  const cluster = clusterOf(kafka)
  await cluster.connect()
  try {
    await cluster.brokerPool.refreshMetadata([])
    const { brokers } = cluster.brokerPool.metadata
    return await work(await Promise.all(brokers.map(({ nodeId }) => cluster.findBroker({ nodeId }))))
  } finally {
    await cluster.disconnect()
  }
}

function clusterOf(kafka: Kafka): Cluster {
  const create = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  if (!create) throw new TypeError('this version of kafkajs makes its clusters in another way')
  return (kafka as unknown as Record<symbol, (options: object) => Cluster>)[create]?.({}) as Cluster
}

/** Reads an answer field by field, in Kafka's encoding of versions without tagged fields. */
export class AnswerReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  skip(bytes: number): void {
    this.#at += bytes
  }

  int16(): number {
    this.#at += 2
    return this.#bytes.readInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#bytes.readInt32BE(this.#at - 4)
  }

  int64(): bigint {
    this.#at += 8
    return this.#bytes.readBigInt64BE(this.#at - 8)
  }

  /** A null is given as an empty text. */
  text(): string {
    const length = Math.max(0, this.int16())
    this.#at += length
    return this.#bytes.toString('utf8', this.#at - length, this.#at)
  }

  array<T>(item: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, item)
  }
}
