// The run's real servers, as a test file sees them. They are shared by all files: keep apart by topic prefix and by database.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { whenFileEnds } from './file-end.ts'

/** The brokers of the run's Kafka: `127.0.0.1:PORT`. */
export function kafkaBrokers(): string {
  return inject('kafkaBrokers')
}

/** The shared database `warehouse` of the run's Postgres. A test that creates tables wants `freshDatabase` instead. */
export function databaseUrl(): string {
  return inject('databaseUrl')
}

/** A topic prefix of its own for a test file, such as `sink-4f2a.`: files run at the same time on one broker. */
export function freshPrefix(name: string): string {
  return `${name}-${randomBytes(4).toString('hex')}.`
}

/**
 * Creates an empty database for a test file and returns its URL; it is dropped, with whoever is still connected, when the file ends.
 * Call it at the top of the file or in beforeAll.
 */
export async function freshDatabase(name: string): Promise<string> {
  const database = `${name.replaceAll(/[^a-z0-9]+/gi, '_').toLowerCase()}_${randomBytes(4).toString('hex')}`
  await onServer(`CREATE DATABASE ${database}`)
  whenFileEnds(() => onServer(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`))
  const url = new URL(databaseUrl())
  url.pathname = `/${database}`
  return url.href
}

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl() })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
