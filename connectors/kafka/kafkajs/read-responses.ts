// Responses are gathered in a buffer of their own size, straight from the one buffer that all sockets read into. kafkajs has a new
// buffer for each 64 KB that comes, and copies them together: array buffers of twice the bytes, and each few dozen
// megabytes of those cost a collection of the whole heap, during which a process does nothing else.
import type { Socket } from 'node:net'

/** What kafkajs' `network/socket` gives: a function that connects and listens. */
export type CreateSocket = (options: SocketHandlers) => Socket

interface SocketHandlers {
  readonly onData: (bytes: Buffer) => void
}

/** What of kafkajs' connection is used here. */
export interface ReadingConnection {
  /** Set while it authenticates, when not all that comes answers a request. */
  readonly authHandlers: object | null
  readonly requestQueue: {
    fulfillRequest(response: { size: number; correlationId: number; payload: Buffer }): void
  }
  /** Takes bytes as they come. */
  processData(bytes: Buffer): void
}

/** Has a connection's bytes come in whole frames. */
export function inFrames(createSocket: CreateSocket): CreateSocket {
  return ({ onData, ...options }) => {
    const reader = new FrameReader()
    const socket = createSocket({
      ...options,
      onData: (bytes) => {
        try {
          reader.take(bytes, onData)
        } catch (error) {
          // Its handler turns it into an error of all requests that wait.
          socket.destroy(error as Error)
        }
      },
    })
    return socket
  }
}

/** Takes a response out of its frame, without a look for where it ends. */
export function readResponses(connection: ReadingConnection): void {
  const { processData } = connection
  connection.processData = function (this: ReadingConnection, frame: Buffer): void {
    if (this.authHandlers) {
      processData.call(this, frame)
      return
    }
    const response = frame.subarray(INT32_BYTES)
    const payload = response.subarray(INT32_BYTES)
    this.requestQueue.fulfillRequest({ size: response.length, correlationId: response.readInt32BE(), payload })
  }
}

const INT32_BYTES = 4

/** Cuts a stream into Kafka's frames: the length of what follows, as an int32, then that; in a response the request's number first. */
export class FrameReader {
  readonly #length = Buffer.alloc(INT32_BYTES)
  #lengthBytes = 0
  #frame: Buffer | null = null
  #filled = 0

  /** `bytes` may be written over afterwards; a frame, its length included, is the receiver's. Throws when the stream cannot be Kafka's. */
  take(bytes: Buffer, onFrame: (frame: Buffer) => void): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#frame === null) {
        const copied = bytes.copy(this.#length, this.#lengthBytes, at)
        at += copied
        this.#lengthBytes += copied
        if (this.#lengthBytes < INT32_BYTES) return
        this.#frame = emptyFrame(this.#length.readInt32BE())
        this.#filled = this.#length.copy(this.#frame)
      }
      const copied = bytes.copy(this.#frame, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled < this.#frame.length) return
      const frame = this.#frame
      this.#frame = null
      this.#lengthBytes = 0
      onFrame(frame)
    }
  }
}

function emptyFrame(length: number): Buffer {
  // Of nothing is the answer to a password.
  if (length >= 0) return Buffer.allocUnsafe(INT32_BYTES + length)
  throw new Error(`got a response of ${length} bytes; is it a broker of Kafka's at that port, and without TLS?`)
}
