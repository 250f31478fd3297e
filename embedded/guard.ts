// The process between a program and a local server that it started. It holds the data directory's lock, runs the server in a session of
// its own (so that Ctrl-C in the terminal does not hit it) and stops it as soon as the program is gone, however that ended.
//
//   program ──IPC──> guard ──> server          program dies ──> the channel closes ──> guard stops the server ──> guard ends
//
// argv: the lock's socket path. Messages: see GuardReport (to the program) and ServerCommand (from it).
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/** What the program sends once the lock is held: the server to run. */
export interface ServerCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The user to run as, where the program runs as root and the server refuses to. */
  readonly user?: { readonly uid: number; readonly gid: number }
  readonly stopSignal: 'SIGTERM' | 'SIGINT'
  /** How long the server may take to stop before it is killed. */
  readonly stopTimeoutMs: number
}

/** What the guard tells the program. */
export type GuardReport =
  | { readonly type: 'locked' }
  | { readonly type: 'in_use'; readonly ownerPid: number }
  | { readonly type: 'started'; readonly pid: number }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null }

const lockPath = process.argv[2] ?? ''
const programPid = process.ppid
let server: ChildProcess | undefined
let command: ServerCommand | undefined
let locked = false
let stopping = false

function report(message: GuardReport, sent = () => {}): void {
  if (process.connected) process.send?.(message, sent)
  else sent()
}

/**
 * A Unix socket is the lock: unlike a file with a process id in it, it cannot be stale, because nobody answers on it once its owner is
 * gone. Whoever connects learns who owns it and whether that one is on its way out.
 */
function lock(): void {
  const socket = createServer((peer) => {
    peer.on('error', () => {})
    peer.write(`${programPid} ${stopping ? 'stopping' : 'running'}\n`)
  })
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') askOwner()
    else fail(error)
  })
  socket.listen(lockPath, () => {
    locked = true
    report({ type: 'locked' })
  })
}

function askOwner(): void {
  const owner = connect(lockPath)
  owner.setEncoding('utf8')
  let answered = false
  owner.once('data', (line: string) => {
    answered = true
    const [pid, state] = line.trim().split(' ')
    // Its program was killed a moment ago and the server is still stopping: wait for 'close', the end of that guard.
    if (state === 'stopping' || !isAlive(Number(pid))) return
    report({ type: 'in_use', ownerPid: Number(pid) }, leave)
  })
  owner.once('error', () => {})
  owner.once('close', () => {
    // Nobody answered: the owner was killed before it could remove the path.
    if (!answered) unlink()
    setTimeout(lock, 20)
  })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function start(wanted: ServerCommand): void {
  command = wanted
  server = spawn(wanted.command, wanted.args, {
    cwd: wanted.cwd,
    env: { ...process.env, ...wanted.env },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
    ...wanted.user,
  })
  server.once('spawn', () => report({ type: 'started', pid: server?.pid ?? 0 }))
  server.once('error', fail)
  server.once('exit', (code, signal) => report({ type: 'exited', code, signal }, leave))
}

function stop(): void {
  if (stopping) return
  stopping = true
  if (server?.pid !== undefined && command !== undefined) stopServer(server, server.pid, command)
  else leave()
}

function stopServer(running: ChildProcess, pid: number, { stopSignal, stopTimeoutMs }: ServerCommand): void {
  running.kill(stopSignal)
  // The whole group, because the server may have started processes of its own.
  setTimeout(() => process.kill(-pid, 'SIGKILL'), stopTimeoutMs)
}

function fail(error: Error): void {
  // The program reads this as part of the server's log and quotes it.
  process.stderr.write(`${error.message}\n`, leave)
}

function leave(): void {
  if (locked) unlink()
  process.exit(0)
}

function unlink(): void {
  rmSync(lockPath, { force: true })
}

process.on('message', (message) => start(message as ServerCommand))
process.on('disconnect', stop)
process.on('SIGTERM', stop)
process.on('SIGINT', () => {})
process.on('SIGHUP', () => {})
lock()
