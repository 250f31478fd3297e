// Ports for the local servers: finding a free one, and saying clearly that one is taken.
import { createServer } from 'node:net'
import { EmbeddedServerError } from './server.ts'

const LOOPBACK = '127.0.0.1'

// Below Linux's ephemeral range (32768 and up): a port from that range may become the source port of some outgoing connection
// between two starts of a server, and the restart would then fail.
const FIRST_PORT = 20_000
const LAST_PORT = 29_999

// Two calls before either server is up must not give the same port.
const handedOut = new Set<number>()

/** A TCP port on 127.0.0.1 that nothing listens on now and that this process has not been given before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT + 1))
    if (handedOut.has(port) || !(await canListen(port))) continue
    handedOut.add(port)
    return port
  }
  throw new EmbeddedServerError(
    'no_free_port',
    `No free port was found between ${FIRST_PORT} and ${LAST_PORT} on ${LOOPBACK}.`,
  )
}

/** Throws `port_taken` when something listens on the port; `remedy` tells the user what to do about it. */
export async function requireFreePort(port: number, server: string, remedy: string): Promise<void> {
  if (await canListen(port)) return
  throw new EmbeddedServerError(
    'port_taken',
    `The embedded ${server} needs port ${port} on ${LOOPBACK}, but something else listens there. ${remedy}`,
  )
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
      else reject(error)
    })
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
