// The servers that a service without KAFKA_BROKERS or DATABASE_URL brings along. Nothing else differs.
import { join } from 'node:path'
import type { Config } from '../src/config.ts'
import { startKafka } from './kafka.ts'
import { startPostgres } from './postgres.ts'

export interface Embedded {
  readonly kafkaBrokers: readonly string[]
  readonly databaseUrl: string
  /** Resolves when one of the servers ended that nobody stopped. */
  readonly crashed: Promise<Error>
  stop(): Promise<void>
}

/** Starts what the settings do not name. Throws `EmbeddedServerError` with what to do about it. */
export async function startEmbedded(
  config: Pick<Config, 'kafkaBrokers' | 'kafkaPort' | 'connections' | 'postgresPort' | 'dataDir'>,
): Promise<Embedded> {
  const givenUrl = config.connections.warehouse
  const [kafka, postgres] = await Promise.allSettled([
    config.kafkaBrokers.length ? null : startKafka({ port: config.kafkaPort, dataDir: join(config.dataDir, 'kafka') }),
    givenUrl ? null : startPostgres({ port: config.postgresPort, dataDir: join(config.dataDir, 'postgres') }),
  ])
  const started = [kafka, postgres].flatMap((result) =>
    result.status === 'fulfilled' && result.value ? [result.value] : [],
  )
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()))
  }
  const failed = [kafka, postgres].find((result) => result.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  const crashed = Promise.withResolvers<Error>()
  for (const server of started) {
    server.exited.then(({ code, signal }) =>
      crashed.resolve(
        new Error(`an embedded server (process ${server.pid}) ended by itself: ${signal ?? `exit code ${code}`}`),
      ),
    )
  }
  return {
    kafkaBrokers: kafka.status === 'fulfilled' && kafka.value ? [kafka.value.brokers] : config.kafkaBrokers,
    databaseUrl: postgres.status === 'fulfilled' && postgres.value ? postgres.value.url : (givenUrl as string),
    crashed: crashed.promise,
    stop,
  }
}
