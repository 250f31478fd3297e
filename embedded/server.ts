// Starts a local server under a guard process (guard.ts) and waits until it answers: what Kafka and Postgres have in common.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { GuardReport, ServerCommand } from './guard.ts'

/** A local server that this process started. It ends with this process, however that ends; its data stays. */
export interface EmbeddedServer {
  /** The process id of the server itself. */
  readonly pid: number
  /** Resolves when the server has ended: after `stop`, or because it crashed. Never rejects. */
  readonly exited: Promise<ServerExit>
  /** Stops the server in good order and resolves when its process is gone. May be called more than once. */
  stop(): Promise<void>
}

export interface ServerExit {
  readonly code: number | null
  readonly signal: string | null
}

export interface EmbeddedServerOptions {
  readonly port: number
  /** Where the server keeps its data; created when absent, used again when not. */
  readonly dataDir: string
  /** Receives each line that the server logs. */
  readonly log?: (line: string) => void
}

type ErrorCode = 'port_taken' | 'no_free_port' | 'data_dir_in_use' | 'not_installed' | 'start_failed'

/** Why a local server did not start, with what to do about it in the message. */
export class EmbeddedServerError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EmbeddedServerError'
    this.code = code
  }
}

interface ServerPlan {
  readonly name: string
  readonly options: EmbeddedServerOptions
  /** Makes the data directory ready and says what to run; called once the directory is ours alone. */
  readonly prepare: () => Promise<ServerCommand>
  readonly readyLine: RegExp
  readonly readyTimeoutMs: number
}

// Enough of the log to show the cause of a failed start, not so much that it scrolls away.
const LOG_TAIL_LINES = 15

/** A second in all. */
const CONNECT_TRIES = 50

/** Locks the data directory, prepares it, starts the server and resolves once it accepts connections. */
export async function startServer(plan: ServerPlan): Promise<EmbeddedServer> {
  const { name, options } = plan
  const guard = spawn(process.execPath, [join(import.meta.dirname, 'guard.ts'), lockPath(options.dataDir)], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A session of its own: a signal to the terminal's foreground group must not reach the guard before the program has decided.
    detached: true,
  })
  const tail: string[] = []
  const readyLineSeen = watchLog(guard, plan.readyLine, (line) => {
    if (tail.push(line) > LOG_TAIL_LINES) tail.shift()
    options.log?.(line)
  })
  const reports = watchReports(guard)
  const stop = async () => {
    guard.kill('SIGTERM')
    await reports.gone
  }
  try {
    const ownerPid = await reports.locked
    if (ownerPid !== undefined) {
      throw new EmbeddedServerError(
        'data_dir_in_use',
        `${options.dataDir} is in use: process ${ownerPid} runs a ${name} on it. Stop that process, or choose another data directory.`,
      )
    }
    guard.send(await plan.prepare())
    await Promise.race([readyLineSeen, failWhenGone(reports.gone), failAfter(plan.readyTimeoutMs)])
    await answering(options.port)
    return { pid: await reports.started, exited: reports.gone, stop }
  } catch (error) {
    await stop()
    if (error instanceof EmbeddedServerError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    const message = [`The embedded ${name} did not start: ${reason}.`, ...tail.map((line) => `  ${line}`)].join('\n')
    throw new EmbeddedServerError('start_failed', message, { cause: error })
  }
}

// A Unix socket's path is limited to about 100 characters, so it cannot lie in the data directory itself.
function lockPath(dataDir: string): string {
  const id = createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 16)
  return join(tmpdir(), `scoreline-${id}.sock`)
}

/** Calls `onLine` with each log line; the promise resolves at the first one that matches. */
function watchLog(guard: ChildProcess, readyLine: RegExp, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    for (const stream of [guard.stdout, guard.stderr]) {
      if (stream === null) continue
      createInterface({ input: stream }).on('line', (line) => {
        onLine(line)
        if (readyLine.test(line)) resolve()
      })
    }
  })
}

/** The guard's reports as promises. `locked` gives the owner's pid when the directory belongs to another process. */
function watchReports(guard: ChildProcess) {
  const locked = Promise.withResolvers<number | undefined>()
  const started = Promise.withResolvers<number>()
  const gone = Promise.withResolvers<ServerExit>()
  let exit: ServerExit = { code: null, signal: null }
  guard.on('message', (message) => {
    const report = message as GuardReport
    if (report.type === 'locked') locked.resolve(undefined)
    else if (report.type === 'in_use') locked.resolve(report.ownerPid)
    else if (report.type === 'started') started.resolve(report.pid)
    else exit = { code: report.code, signal: report.signal }
  })
  guard.once('error', (error) => locked.reject(error))
  // 'close' comes after the last log line, so that an error message can quote it.
  guard.once('close', () => {
    locked.reject(new Error('its guard process ended early'))
    gone.resolve(exit)
  })
  return { locked: locked.promise, started: started.promise, gone: gone.promise }
}

async function failWhenGone(gone: Promise<ServerExit>): Promise<never> {
  const { code, signal } = await gone
  throw new Error(`it ended with ${signal ?? `exit code ${code}`}`)
}

function failAfter(timeoutMs: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`it was not ready within ${timeoutMs / 1000} s`)), timeoutMs).unref()
  })
}

/** Some servers say that they are ready a moment before they listen. */
async function answering(port: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await canConnect(port)
    } catch (error) {
      if (tries === CONNECT_TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function canConnect(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}
