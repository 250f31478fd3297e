// One client's server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// An event's id is an offset of jobs.v1: all of a tenant's jobs are in one partition, so it says in any API process, and
// after a restart, what the client has seen. A client that comes back with it as `Last-Event-ID` gets the jobs that changed
// since, and nothing twice. What changes between two snapshots of a job, its progress, comes under the id before.

import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** A comment now and then keeps proxies from closing a quiet connection. */
const KEEP_ALIVE_MS = 15_000
/** A stream ends this long after its key was taken back or has expired, with an event that says so. */
const LOOK_AT_KEY_MS = 2_000
/** How long a client waits before it connects again. */
const RETRY_MS = 2_000
/** With more than this unsent, the client is slow: what changes meanwhile is told once it has caught up. */
const MAX_UNSENT_BYTES = 256 * 1024

export class EventStream {
  readonly #response: ServerResponse
  #id: bigint

  /** Takes the connection over from fastify. `lastId` is what the client has seen, -1 for nothing. */
  constructor(reply: FastifyReply, lastId: bigint, onClose: () => void) {
    reply.hijack()
    this.#response = reply.raw
    this.#id = lastId
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    this.#response.write(`retry: ${RETRY_MS}\n\n`)
    const keepAlive = setInterval(() => this.#response.write(': still here\n\n'), KEEP_ALIVE_MS)
    const { request } = reply
    const lookAtKey = setInterval(async () => {
      const refusal = await request.refusal()
      if (!refusal || this.#response.writableEnded) return
      this.send('unauthorized', -1n, { code: refusal.code, detail: refusal.message })
      this.end()
    }, LOOK_AT_KEY_MS)
    this.#response.on('close', () => {
      clearInterval(keepAlive)
      clearInterval(lookAtKey)
      onClose()
    })
  }

  /** Whether to hold back until `onDrain`. */
  get isSlow(): boolean {
    return this.#response.writableLength > MAX_UNSENT_BYTES
  }

  /** Called once when a slow client has caught up. */
  onDrain(listener: () => void): void {
    this.#response.once('drain', listener)
  }

  /** `offset` is that of the snapshot which the event is about; ids never go back. */
  send(event: string, offset: bigint, data: unknown): void {
    if (offset > this.#id) this.#id = offset
    this.#response.write(`id: ${this.#id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  end(): void {
    this.#response.end()
  }
}

/** The client's `Last-Event-ID`; -1 without one. One that is none of ours counts as none: an error would stop the client. */
export function lastEventId(request: FastifyRequest): bigint {
  const given = request.headers['last-event-id']
  return typeof given === 'string' && /^\d{1,18}$/.test(given) ? BigInt(given) : -1n
}
