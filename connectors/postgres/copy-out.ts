// COPY … TO STDOUT on a pg client, decoded as it arrives. It takes the socket over for the time of the COPY, as pg-copy-streams does,
// but reads the messages in place: 0.17 µs of CPU a row of four numbers with the decoding, against 0.28 µs through that package.
import type { Duplex } from 'node:stream'
import type pg from 'pg'
import type { Column, ColumnBatch } from '../../topics/columns.ts'
import { CopyDecoder } from './copy-decoder.ts'
import { GrowableBytes } from './growable.ts'

/** Backend message types. Source: PostgreSQL, "Message Formats". */
const COPY_DATA = 0x64
const COPY_DONE = 0x63
const ERROR_RESPONSE = 0x45
/** ParseComplete, BindComplete, CopyOutResponse, NoticeResponse, ParameterStatus, NotificationResponse: nothing to do. */
const PASSED_OVER = new Set([0x31, 0x32, 0x48, 0x4e, 0x53, 0x41])

/** Batches that may wait before the socket is paused; the server then blocks in its next send. */
const MAX_WAITING_BATCHES = 4

type Listener = (chunk: Buffer) => void

/** A query for `client.query`; then `next` gives the batches in order. */
export class CopyOut {
  readonly #text: string
  readonly #decoder: CopyDecoder
  #stream: Duplex | null = null
  /** pg's own listener for the socket, put aside. */
  #listener: Listener | null = null
  /** The beginning of a message whose end has not come. */
  readonly #partial = new GrowableBytes(65_536)
  /** The COPY is over, or has failed: what comes now is for pg. */
  #over = false
  #outcome: { error: unknown } | 'complete' | null = null
  #wake: (() => void) | null = null

  constructor(text: string, columns: readonly Column[], chunkRows: number) {
    this.#text = text
    this.#decoder = new CopyDecoder(columns, chunkRows)
  }

  /** The next batch, or null after the last. Throws the server's or the connection's error, once the batches before it are taken. */
  async next(): Promise<ColumnBatch | null> {
    for (;;) {
      const batch = this.#decoder.batches.shift()
      if (batch) {
        if (this.#decoder.batches.length === 0) this.#stream?.resume()
        return batch
      }
      if (this.#outcome === 'complete') return null
      if (this.#outcome) throw this.#outcome.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  // What follows is called by pg.

  submit(connection: pg.Connection): void {
    const stream = connection.stream
    const [listener, ...others] = stream.listeners('data') as Listener[]
    if (!listener || others.length > 0)
      throw new Error(`expected one listener on the connection, got ${others.length + (listener ? 1 : 0)}`)
    this.#stream = stream
    this.#listener = listener
    stream.removeListener('data', listener)
    stream.on('data', this.#onData)
    // The extended protocol refuses a text of several statements, so whatever the guard may have missed, the server runs one COPY.
    connection.parse({ name: '', text: this.#text, types: [] }, true)
    connection.bind({ portal: '', statement: '', values: [] }, true)
    connection.execute({ portal: '' }, true)
    connection.sync()
  }

  handleError(error: unknown): void {
    this.#giveBack()
    this.#settle({ error })
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#settle('complete')
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#receive(chunk)
    } catch (error) {
      // Not the protocol we know, or a value that does not fit: nothing after it can be trusted, so the connection ends too.
      this.#settle({ error })
      this.#stream?.destroy()
    }
    if (this.#decoder.batches.length > 0) {
      this.#notify()
      if (this.#listener && this.#decoder.batches.length >= MAX_WAITING_BATCHES) this.#stream?.pause()
    }
  }

  #receive(chunk: Buffer): void {
    let from = 0
    // Only the message that lies across two chunks is copied.
    while (this.#partial.length > 0 && from < chunk.length) {
      const take = Math.min(missingBytes(this.#partial), chunk.length - from)
      this.#partial.append(chunk, from, from + take)
      from += take
      if (missingBytes(this.#partial) > 0) continue
      const message = this.#partial.bytes.subarray(0, this.#partial.length)
      const end = this.#read(message, 0)
      if (this.#over) {
        this.#giveBack(Buffer.from(message.subarray(end)), chunk.subarray(from))
        return
      }
      this.#partial.drop()
    }
    const end = this.#read(chunk, from)
    if (this.#over) this.#giveBack(chunk.subarray(end))
    else this.#partial.append(chunk, end, chunk.length)
  }

  /** Reads the whole messages of `chunk` from `from` on; returns where it stopped: an incomplete one, or the first that is pg's. */
  #read(chunk: Buffer, from: number): number {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = from
    while (at + 5 <= chunk.length) {
      const next = at + 1 + view.getInt32(at + 1)
      if (next > chunk.length) break
      const type = chunk[at] as number
      if (type === COPY_DATA) {
        this.#decoder.push(chunk, view, at + 5, next)
      } else if (type === COPY_DONE || type === ERROR_RESPONSE) {
        this.#over = true
        this.#decoder.flush(chunk, view)
        if (type === ERROR_RESPONSE) return at
        this.#decoder.end()
        return next
      } else if (!PASSED_OVER.has(type)) {
        throw new RangeError(`expected the messages of a COPY, got one of type ${String.fromCharCode(type)}`)
      }
      at = next
    }
    this.#decoder.flush(chunk, view)
    return at
  }

  /** The socket is pg's again, beginning with these bytes. */
  #giveBack(...pieces: Buffer[]): void {
    const stream = this.#stream
    const listener = this.#listener
    if (!stream || !listener) return
    this.#stream = null
    this.#listener = null
    stream.removeListener('data', this.#onData)
    stream.on('data', listener)
    for (const piece of pieces) if (piece.length > 0) listener(piece)
    stream.resume()
  }

  #settle(outcome: { error: unknown } | 'complete'): void {
    this.#outcome ??= outcome
    this.#notify()
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = null
  }
}

/** Bytes until the length of the message is known, then until its end. */
function missingBytes(partial: GrowableBytes): number {
  if (partial.length < 5) return 5 - partial.length
  return 1 + partial.bytes.readInt32BE(1) - partial.length
}
