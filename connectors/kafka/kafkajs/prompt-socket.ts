// Requests go out when they are written, as with Kafka's own client. kafkajs leaves Nagle's algorithm on: while one request is on its
// way and not acknowledged, the next one on the connection waits, and so does the end of one that is larger than a segment, for
// as long as the broker's system delays its acknowledgement (40 ms). What comes is read into one buffer (`read-responses.ts`).
import { connect, type Socket } from 'node:net'

export interface SocketOptions {
  readonly host: string
  readonly port: number
  /** Settings of TLS, if the connection has it. */
  readonly ssl?: object | null
  readonly onConnect: () => void
}

/** What kafkajs' `network/socketFactory` gives: a function that connects. */
export type SocketFactory = (options: SocketOptions) => Socket

/** Reads follow each other, whatever the socket, and each is taken in before the next one. */
const READ_INTO = Buffer.allocUnsafeSlow(256 * 1024)

/** As the library has it. */
const KEEP_ALIVE_MS = 60_000

export function promptly(socketFactory: () => SocketFactory): () => SocketFactory {
  return () => {
    const connectByLibrary = socketFactory()
    return (options) => (options.ssl ? connectByLibrary(options) : connectPlainly(options)).setNoDelay(true)
  }
}

function connectPlainly({ host, port, onConnect }: SocketOptions): Socket {
  const onread = {
    buffer: READ_INTO,
    callback: (bytes: number): boolean => {
      socket.emit('data', READ_INTO.subarray(0, bytes))
      return true
    },
  }
  const socket: Socket = connect({ host, port, onread }, onConnect)
  return socket.setKeepAlive(true, KEEP_ALIVE_MS)
}
