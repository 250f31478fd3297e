// Requests go out when they are written, as with Kafka's own client. kafkajs leaves Nagle's algorithm on: while one request is on its
// way and not acknowledged, the next one on the connection waits, and so does the end of one that is larger than a segment, for
// as long as the broker's system delays its acknowledgement (40 ms).
import type { Socket } from 'node:net'

/** What kafkajs' `network/socketFactory` gives: a function that connects. */
export type SocketFactory = (options: object) => Socket

export function promptly(socketFactory: () => SocketFactory): () => SocketFactory {
  return () => {
    const connect = socketFactory()
    return (options) => connect(options).setNoDelay(true)
  }
}
