// The registry: every source and destination of the service, one line each.
import type { Destination } from '../topics/jobs.ts'
import type { ConnectorSettings, Sink, Source } from './connector.ts'
import { createFilesSink } from './files/sink.ts'
import { createPostgresSource } from './postgres/source.ts'
import { createTableSink } from './postgres/table-sink.ts'

/** Exported for a bench, which puts another in. */
export const SINKS = [createTableSink, createFilesSink]

export interface Connectors {
  readonly source: Source
  /** The sink of a destination; undefined if none serves it. */
  sinkFor(destination: Destination): Sink | undefined
  close(): Promise<void>
}

export function openConnectors(settings: ConnectorSettings): Connectors {
  const source = createPostgresSource(settings)
  const sinks = SINKS.map((create) => create(settings))
  return {
    source,
    sinkFor: (destination) => sinks.find((sink) => sink.destinations.includes(destination)),
    close: async () => {
      await Promise.all([source.close(), ...sinks.map((sink) => sink.close())])
    },
  }
}
