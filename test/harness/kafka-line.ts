// The run's Kafka over a line that can be cut. Brokers tell their clients where to connect, in every answer about topics and coordinators:
// the line puts its own port there, so that a client that came by it stays on it.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface KafkaLine {
  /** What a client connects to. */
  readonly brokers: string
  /** Resolves when the line was cut because all changes were used up. */
  readonly usedUp: Promise<void>
  /** Cuts all connections and hangs up on new ones until `mend`. */
  cut(): void
  mend(): void
  close(): Promise<void>
}

/** Requests that change something: Produce, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit. */
const CHANGES = new Set([0, 22, 24, 25, 26, 28])

/**
 * A line to the one broker at `HOST:PORT`, under which it must be advertised. It is cut for good after so many
 * requests that change something: the broker does what the last one says, and nobody hears the answer. (To cut it before the next
 * one would leave the broker just like that.) With none, it is cut at the first.
 */
export async function kafkaLine(brokers: string, changesLeft = Number.POSITIVE_INFINITY): Promise<KafkaLine> {
  const [host = '', port] = brokers.split(':')
  const sockets = new Set<Socket>()
  let left = changesLeft
  let isCut = false
  const broken = Promise.withResolvers<void>()
  const cut = () => {
    isCut = true
    if (left <= 0) broken.resolve()
    for (const socket of sockets) socket.destroy()
  }
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const broker = connect(Number(port), host)
    for (const socket of [client, broker]) {
      sockets.add(socket)
      // Whatever becomes of one end, the other one's program finds out.
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('close', () => broker.end())
    broker.on('close', () => client.destroy())
    const requests = frames()
    client.on('data', (bytes) => {
      for (const request of requests(bytes)) {
        if (isCut || (changes(request) && left <= 0)) return cut()
        broker.write(request)
        if (!changes(request) || --left > 0) continue
        // Ended and not destroyed: what was sent arrives.
        sockets.delete(broker)
        broker.removeAllListeners('data').resume().end()
        return cut()
      }
    })
    const answers = frames()
    broker.on('data', (bytes) => {
      for (const answer of answers(bytes)) if (!client.destroyed) client.write(replaceAll(answer, theirs, ours))
    })
  })
  server.listen(0, host)
  await once(server, 'listening')
  const ownPort = (server.address() as AddressInfo).port
  const [theirs, ours] = [Number(port), ownPort].map((number) => addressOf(host, number)) as [Buffer, Buffer]
  return {
    brokers: `${host}:${ownPort}`,
    usedUp: broken.promise,
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

function changes(request: Buffer): boolean {
  return CHANGES.has(request.readInt16BE(4))
}

/** As an answer has it: the host as text, whose length comes before it, then the port (Kafka protocol, "Metadata", "FindCoordinator"). */
function addressOf(host: string, port: number): Buffer {
  const address = Buffer.alloc(2 + host.length + 4)
  address.writeInt16BE(host.length)
  address.write(host, 2)
  address.writeInt32BE(port, 2 + host.length)
  return address
}

/** Splits a stream into whole messages: four bytes of length, and so much. */
function frames(): (bytes: Buffer) => Buffer[] {
  let pending: Buffer = Buffer.alloc(0)
  return (bytes) => {
    pending = Buffer.concat([pending, bytes])
    const whole: Buffer[] = []
    while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE()) {
      const length = 4 + pending.readInt32BE()
      whole.push(pending.subarray(0, length))
      pending = pending.subarray(length)
    }
    return whole
  }
}

/** Replaces all occurrences by something as long. */
function replaceAll(bytes: Buffer, from: Buffer, to: Buffer): Buffer {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + from.length)) to.copy(bytes, at)
  return bytes
}
