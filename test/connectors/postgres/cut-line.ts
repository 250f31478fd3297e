// The run's Postgres over a line that can be cut, at any message of the client or for a while: how a process looks to the server that
// is killed, and how a server looks to a process when the network between them fails.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface CutLine {
  /** The database's URL over this line. */
  readonly url: string
  /** Whether the line was cut because all messages were used up. */
  readonly usedUp: () => boolean
  /** Cuts all connections and refuses new ones until `mend`. */
  cut(): void
  mend(): void
  close(): Promise<void>
}

/**
 * A line to the server of `url` that is cut for good after so many messages of clients: the server does what the last one says, and
 * nobody hears the answer. (To cut it before the next message would leave the server just like that.) With none, it is cut at the first.
 */
export async function cutLine(url: string, messages = Number.POSITIVE_INFINITY): Promise<CutLine> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let left = messages
  let isCut = false

  const cut = () => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }

  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      // Whatever becomes of one end, the other one's program finds out.
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('close', () => upstream.end())
    upstream.on('close', () => client.destroy())
    upstream.on('data', (bytes) => {
      if (!client.destroyed) client.write(bytes)
    })
    const split = frontendMessages()
    client.on('data', (bytes) => {
      for (const message of split(bytes)) {
        if (isCut || left <= 0) return cut()
        upstream.write(message)
        if (--left > 0) continue
        // Ended and not destroyed: what was sent arrives.
        sockets.delete(upstream)
        upstream.removeAllListeners('data').resume().end()
        return cut()
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = new URL(url)
  own.port = String((server.address() as AddressInfo).port)
  return {
    url: own.href,
    usedUp: () => isCut && left <= 0,
    cut,
    mend: () => {
      isCut = false
    },
    close: async () => {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Splits what a client sends into messages (PostgreSQL, "Message Formats"): the first has no type byte. */
function frontendMessages(): (bytes: Buffer) => Buffer[] {
  let pending: Buffer = Buffer.alloc(0)
  let typeBytes = 0
  return (bytes) => {
    pending = Buffer.concat([pending, bytes])
    const messages: Buffer[] = []
    while (pending.length >= typeBytes + 4) {
      const length = typeBytes + pending.readInt32BE(typeBytes)
      if (pending.length < length) break
      messages.push(pending.subarray(0, length))
      pending = pending.subarray(length)
      typeBytes = 1
    }
    return messages
  }
}
