// The local Postgres of `npm start`, the demo, the tests and the benchmarks: the real server, on 127.0.0.1 only.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ServerCommand } from './guard.ts'
import { requireFreePort } from './ports.ts'
import {
  type PostgresBinaries,
  postgresBinaries,
  postgresUser,
  requireReachable,
  type SystemUser,
} from './postgres-binaries.ts'
import { type EmbeddedServer, type EmbeddedServerOptions, startServer } from './server.ts'

export interface EmbeddedPostgres extends EmbeddedServer {
  /** The database `warehouse`, as the role `scoreline`, which owns it and may create databases and roles, but is no superuser. */
  readonly url: string
}

const ROLE = 'scoreline'
const DATABASE = 'warehouse'

/** Server messages in English (the ready line is matched) and byte-order collation, the same on every machine. */
const LOCALE = { LC_ALL: 'C', LC_MESSAGES: 'C' }

/** Everything that differs from Postgres's defaults, with the reason. Durability stays as it is: fsync is on. */
const SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  // No Unix socket: its default folder is shared by the machine, and nothing here uses one.
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  // A job's rows come in by COPY: with the default of 1 GB a large job would force a checkpoint in its middle.
  max_wal_size: '2GB',
  timezone: 'UTC',
}

/**
 * Starts Postgres on the port and resolves when it accepts connections. Databases survive a restart, and a server killed hard recovers.
 * Throws EmbeddedServerError: `port_taken`, `data_dir_in_use`, `not_installed`, `start_failed` (with the end of its log).
 */
export async function startPostgres(options: EmbeddedServerOptions): Promise<EmbeddedPostgres> {
  const server = await startServer({
    name: 'Postgres',
    options,
    prepare: () => prepare(options),
    readyLine: /database system is ready to accept connections/,
    // Long enough to replay the WAL of a large job after a crash.
    readyTimeoutMs: 90_000,
  })
  return { ...server, url: `postgres://${ROLE}@127.0.0.1:${options.port}/${DATABASE}` }
}

async function prepare({ port, dataDir }: EmbeddedServerOptions): Promise<ServerCommand> {
  await requireFreePort(
    port,
    'Postgres',
    'Stop what listens there, or set DATABASE_URL to the Postgres that is to be used instead of the embedded one.',
  )
  const home = resolve(dataDir)
  const cluster = join(home, 'cluster')
  const binaries = await postgresBinaries()
  await mkdir(home, { recursive: true })
  const user = await postgresUser(home)
  if (user !== undefined) await chown(home, user.uid, user.gid)
  await requireReachable(binaries.postgres, user)
  await requireReachable(home, user)
  if (!existsSync(cluster)) await initialise(binaries, home, cluster, user)
  await removeMisleadingPidFile(cluster)
  return {
    command: binaries.postgres,
    args: ['-D', cluster, '-p', String(port), ...settingFlags()],
    cwd: home,
    env: LOCALE,
    ...(user && { user }),
    // Fast shutdown: open transactions are rolled back rather than waited for.
    stopSignal: 'SIGINT',
    stopTimeoutMs: 15_000,
  }
}

function settingFlags(): string[] {
  return Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** Makes the cluster beside its place and renames it when it is complete, so an initialisation cut short is done over. */
async function initialise(binaries: PostgresBinaries, home: string, cluster: string, user?: SystemUser): Promise<void> {
  const partial = `${cluster}.partial`
  await rm(partial, { recursive: true, force: true })
  const run = (command: string, args: readonly string[], input = '') => runToEnd(command, args, { home, user, input })
  await run(binaries.initdb, ['-D', partial, '-U', 'postgres', '--encoding=UTF8', '--locale=C', '--auth=trust'])
  // Single-user mode: the first role and database exist before any port is open. The superuser cannot log in over TCP at all,
  // since on a shared machine that would let others run programs as this user (COPY ... TO PROGRAM).
  const statements = [
    `CREATE ROLE ${ROLE} LOGIN CREATEDB CREATEROLE`,
    `GRANT pg_read_all_data, pg_monitor, pg_signal_backend TO ${ROLE} WITH ADMIN OPTION`,
    `CREATE DATABASE ${DATABASE} OWNER ${ROLE}`,
    'ALTER ROLE postgres NOLOGIN',
  ]
  await run(binaries.postgres, ['--single', '-D', partial, 'postgres'], `${statements.join('\n')}\n`)
  await rename(partial, cluster)
}

/**
 * A server that was killed leaves its postmaster.pid, and Postgres refuses to start when a process with that id is alive: after a
 * container's restart, quite likely any other process. The file goes only then. If the process is a Postgres or does not exist, Postgres
 * decides itself: the file also leads it to backends that may still be attached to the shared memory.
 */
async function removeMisleadingPidFile(cluster: string): Promise<void> {
  const pidFile = join(cluster, 'postmaster.pid')
  const pid = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0]
  if (!pid) return
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  if (commandLine !== undefined && !commandLine.includes('postgres')) await rm(pidFile, { force: true })
}

interface RunOptions {
  readonly home: string
  readonly user: SystemUser | undefined
  readonly input: string
}

function runToEnd(command: string, args: readonly string[], { home, user, input }: RunOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: home, env: { ...process.env, ...LOCALE }, ...user })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    child.once('error', reject)
    child.once('close', (code) => {
      // Single-user mode ends with 0 even when a statement failed.
      if (code === 0 && !/\b(ERROR|FATAL|PANIC):/.test(output)) resolve()
      else reject(new Error(`${command} ended with ${code}:\n${output}`))
    })
    child.stdin.end(input)
  })
}
