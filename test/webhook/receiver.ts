// A receiver of webhooks: a real HTTP server on 127.0.0.1 that keeps what it is sent, and answers as it is told.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Receiver {
  readonly port: number
  /** What came, in order. */
  readonly received: Received[]
  /** Connections that were ever opened. */
  connections: number
  /** Answers a request; 204 unless a test says otherwise. */
  answer: (response: ServerResponse, request: Received) => void
  url(path: string): string
  stop(): void
}

export async function startReceiver(): Promise<Receiver> {
  const server = createServer(async (incoming, response) => {
    const parts: Buffer[] = []
    for await (const part of incoming) parts.push(part)
    const body = Buffer.concat(parts).toString()
    const request = { path: incoming.url ?? '', headers: incoming.headers, body }
    receiver.received.push(request)
    receiver.answer(response, request)
  })
  server.on('connection', () => receiver.connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    port,
    received: [],
    connections: 0,
    answer: (response) => response.writeHead(204).end(),
    url: (path) => `http://127.0.0.1:${port}${path}`,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
  return receiver
}
