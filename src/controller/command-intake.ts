// The commands of one partition on their way to the book: decoded in order. While the registry that Avro needs is away they
// wait here, and the controller's loop goes on with the jobs that it has; other partitions notice nothing.
import type { Logger } from 'pino'
import { ConnectorError } from '../../connectors/connector.ts'
import type { Lane, LaneRecord } from '../kafka/lane.ts'
import type { CommandDecoder, Decoded } from './command-decoder.ts'

export interface IncomingCommand {
  readonly record: LaneRecord
  readonly decoded: Decoded
}

const AGAIN_MS = 500
/** How often it is said again that commands wait. */
const SAY_AGAIN_MS = 30_000

export class CommandIntake {
  readonly #lane: Lane
  readonly #decoder: CommandDecoder
  readonly #log: Logger
  #waiting: LaneRecord[] = []
  #saidAt = 0

  constructor(lane: Lane, decoder: CommandDecoder, log: Logger) {
    this.#lane = lane
    this.#decoder = decoder
    this.#log = log
  }

  /** The next commands in order, at least one; null when the lane has ended. */
  async next(): Promise<IncomingCommand[] | null> {
    if (!this.#waiting.length) this.#waiting = (await this.#lane.next()) ?? []
    const taken: IncomingCommand[] = []
    while (!this.#lane.ended) {
      const record = this.#waiting[0]
      if (!record) break
      try {
        taken.push({ record, decoded: await this.#decoder.decode(record.value) })
        this.#waiting.shift()
      } catch (error) {
        if (!(error instanceof ConnectorError)) throw error
        if (taken.length) break
        this.#say(error)
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
      }
    }
    return taken.length ? taken : null
  }

  #say(error: ConnectorError): void {
    if (Date.now() - this.#saidAt < SAY_AGAIN_MS) return
    this.#saidAt = Date.now()
    const { partition } = this.#lane
    this.#log.warn({ partition, err: error }, 'commands wait until the schema registry can be asked')
  }
}
