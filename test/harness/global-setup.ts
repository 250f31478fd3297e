// Runs once before all test files: one real Kafka and one real Postgres for the whole run, on free ports, with data that is deleted after.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { startPostgres } from '../../embedded/postgres.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    kafkaBrokers: string
    databaseUrl: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // A folder each: Postgres takes its own over for another user when the tests run as root.
  const folders = await Promise.all(
    ['kafka', 'postgres'].map((name) => mkdtemp(join(tmpdir(), `scoreline-test-${name}-`))),
  )
  const [kafkaDir = '', postgresDir = ''] = folders
  const [kafka, postgres] = await Promise.all([
    startKafka({ port: await freePort(), dataDir: kafkaDir }),
    startPostgres({ port: await freePort(), dataDir: postgresDir }),
  ])
  project.provide('kafkaBrokers', kafka.brokers)
  project.provide('databaseUrl', postgres.url)
  return async () => {
    await Promise.all([kafka.stop(), postgres.stop()])
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
  }
}
