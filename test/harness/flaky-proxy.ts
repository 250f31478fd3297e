// A network between a client and an HTTP server that can fail: it answers for the server, hangs up, or loses an answer.
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'

/** `busy`: 503 with the code that S3 uses. `reset`: hangs up. `lose`: the server does it, the client never hears so. */
export type Failure = 'busy' | 'reset' | 'lose'

export interface FlakyProxy {
  readonly endpoint: string
  /** How many connections clients hold open to it. */
  connections(): Promise<number>
  stop(): void
  /** From now on requests of these methods fail; null: none does. */
  failing: { readonly how: Failure; readonly methods: readonly string[]; times: number } | null
}

const BUSY =
  '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'

/** Starts a proxy before `target`. */
export async function startFlakyProxy(target: string): Promise<FlakyProxy> {
  const server = createServer((incoming, outgoing) => {
    const { failing } = proxy
    const fails = failing !== null && failing.times > 0 && failing.methods.includes(incoming.method ?? '')
    if (fails) failing.times--
    if (fails && failing.how === 'reset') return void incoming.socket.destroy()
    if (fails && failing.how === 'busy') {
      incoming.resume()
      return void outgoing.writeHead(503, { 'content-type': 'application/xml' }).end(BUSY)
    }
    // The headers as they are: the request's signature covers the host.
    const forward = request(new URL(incoming.url ?? '/', target), {
      method: incoming.method,
      headers: incoming.headers,
    })
    forward.on('response', (answer) => {
      if (fails) {
        answer.resume().on('end', () => incoming.socket.destroy())
        return
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    forward.on('error', () => incoming.socket.destroy())
    incoming.on('error', () => forward.destroy())
    incoming.pipe(forward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const proxy: FlakyProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    failing: null,
    connections: () => promisify(server.getConnections.bind(server))(),
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
  return proxy
}
