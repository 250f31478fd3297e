// A whole service for a test file: every role as a real process of its own, on the run's Kafka and Postgres, with topics,
// database and directories of its own. Roles can be killed and started one by one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { afterEach } from 'vitest'
import { ROLES, type Role } from '../../topics/workers.ts'
import { whenFileEnds } from './file-end.ts'
import { freshDatabase, freshPrefix, kafkaBrokers } from './servers.ts'

export interface Service {
  /** Base URL of the API. */
  readonly url: string
  readonly databaseUrl: string
  readonly prefix: string
  readonly outputDir: string
  /** Queries the service's database. */
  query<T extends pg.QueryResultRow = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<T[]>
  /** A connection of the test's own to the service's database. */
  connect(): Promise<pg.Client>
  /** JSON over REST; `body` makes it a POST. */
  request(
    path: string,
    options?: { method?: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<{ status: number; body: JsonObject; headers: Headers }>
  /** A Kafka client of the test's own. */
  kafka(): Kafka
  processes(role: Role): RoleProcess[]
  /** Starts one more process of a role, with further settings, and waits until it is ready. */
  start(role: Role, settings?: Record<string, string>): Promise<RoleProcess>
}

/** An answer's JSON: a test looks at what it expects to be there. */
// biome-ignore lint/suspicious/noExplicitAny: every field of every answer would need a cast at its use.
export type JsonObject = Record<string, any>

export interface RoleProcess {
  readonly role: Role
  readonly pid: number
  /** Where it listens, if it does. */
  readonly url: string | undefined
  /** What it has logged so far. */
  readonly log: string[]
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<Ending>
  /** Resolves when it has ended, killed by the test or otherwise. */
  readonly ended: Promise<Ending>
}

export interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

export interface ServiceOptions {
  readonly name: string
  readonly settings?: Record<string, string>
  /** How many processes of a role; one by default. */
  readonly roles?: Partial<Record<Role, number>>
  /** Servers of the test's own, to be stopped and started; by default those that all test files share. */
  readonly servers?: { readonly brokers: string; readonly databaseUrl: string }
}

const everyProcess: RoleProcess[] = []

// A failure in a test of many processes is explained by what they said.
afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return
  for (const { role, pid, log } of everyProcess) console.error(`--- ${role} ${pid}\n${log.slice(-40).join('\n')}`)
})

/** Starts a service; everything it started is stopped when the test file ends. Call it in beforeAll. */
export async function startService({ name, settings = {}, roles = {}, servers }: ServiceOptions): Promise<Service> {
  const databaseUrl = servers?.databaseUrl ?? (await freshDatabase(name))
  const brokers = servers?.brokers ?? kafkaBrokers()
  const prefix = freshPrefix(name)
  const dataDir = mkdtempSync(join(tmpdir(), `scoreline-${name}-`))
  const environment = {
    ...process.env,
    KAFKA_BROKERS: brokers,
    KAFKA_TOPIC_PREFIX: prefix,
    // A killed process is missed after this long; the default of ten seconds would only make the tests slow.
    KAFKA_SESSION_TIMEOUT_MS: '6000',
    DATABASE_URL: databaseUrl,
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_LEVEL: 'info',
    // Half of what a process costs at its start is compiling; the tests start hundreds.
    NODE_COMPILE_CACHE: join(import.meta.dirname, '../../.cache/compile'),
    ...settings,
  }
  const running: (RoleProcess & { child: ChildProcess })[] = []
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 })
  // The database is dropped while the pool may still be open.
  pool.on('error', () => {})

  async function start(role: Role, further: Record<string, string> = {}): Promise<RoleProcess> {
    const main = join(import.meta.dirname, '../../src/main.ts')
    const child = spawn(process.execPath, [main, role], {
      env: { ...environment, ...further },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const log: string[] = []
    for (const stream of [child.stdout, child.stderr])
      if (stream) createInterface({ input: stream }).on('line', (line) => log.push(line))
    const exited = once(child, 'exit') as Promise<[number | null, string | null]>
    const ready = new Promise<string | undefined>((resolve, reject) => {
      child.on('message', (message: { type: string; url?: string }) => {
        if (message.type === 'ready') resolve(message.url)
      })
      exited.then(([code, signal]) =>
        reject(new Error(`${role} ended (${signal ?? code}) before it was ready:\n${log.join('\n')}`)),
      )
    })
    const url = await ready
    const ended = exited.then(([code, signal]): Ending => {
      const place = running.indexOf(entry)
      if (place >= 0) running.splice(place, 1)
      return { code, signal }
    })
    const entry = {
      role,
      pid: child.pid as number,
      log,
      child,
      url,
      kill: async (signal: 'SIGKILL' | 'SIGTERM') => {
        const place = running.indexOf(entry)
        if (place >= 0) running.splice(place, 1)
        child.kill(signal)
        return ended
      },
      ended,
    }
    running.push(entry)
    everyProcess.push(entry)
    return entry
  }

  whenFileEnds(async () => {
    await Promise.all([...running].map((entry) => entry.kill('SIGTERM')))
    await pool.end()
    rmSync(dataDir, { recursive: true, force: true })
  })

  await start('controller') // creates the topics, so that the others do not all try
  await Promise.all(
    ROLES.flatMap((role) =>
      new Array(Math.max(0, (roles[role] ?? 1) - (role === 'controller' ? 1 : 0))).fill(role),
    ).map((role: Role) => start(role)),
  )
  const url = running.find(({ role }) => role === 'api')?.url as string

  return {
    url,
    databaseUrl,
    prefix,
    outputDir: join(dataDir, 'output'),
    query: async (sql, values) => (await pool.query(sql, values)).rows,
    connect: async () => {
      const client = new pg.Client({ connectionString: databaseUrl })
      client.on('error', () => {})
      await client.connect()
      return client
    },
    request: async (path, { method, body, headers = {} } = {}) => {
      const json = body !== undefined && !(body instanceof Uint8Array)
      const response = await fetch(new URL(path, url), {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: { ...(json ? { 'content-type': 'application/json' } : {}), ...headers },
        ...(body === undefined ? {} : { body: json ? JSON.stringify(body) : (body as Uint8Array<ArrayBuffer>) }),
      })
      const text = await response.text()
      const isJson = response.headers.get('content-type')?.includes('json')
      return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers }
    },
    kafka: () => new Kafka({ clientId: 'test', brokers: [brokers], logLevel: logLevel.NOTHING }),
    processes: (role) => running.filter((entry) => entry.role === role),
    start,
  }
}
