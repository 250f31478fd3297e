// `all`: one child process for each role (several scorers if asked), started again when it dies, stopped in the order of
// the flow. The dataflow is the same as on a cluster; each process can be killed by itself.
import { type ChildProcess, spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { ROLES, type Role } from '../topics/workers.ts'
import type { Config } from './config.ts'
import { ROLE_FLAGS } from './role-flags.ts'

/** A child that dies at once is started again after this long, doubling up to the limit. */
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 10_000
/** A child that lived this long starts with the first delay again. */
const HEALTHY_MS = 30_000
/** How long a drain may take before the child is killed; what it left is repeated by whoever comes next. */
const DRAIN_MS = 30_000

/**
 * What makes the work gives way to what ends it and to what people wait for, on processors that all of them share. Of 1,000-row jobs
 * beside one of 10,000,000 rows, to Parquet, the p99 was 1.0 s and became 0.6 to 0.8 s; the large job took as long as before.
 */
const GIVE_WAY: readonly Role[] = ['reader', 'scorer']
const NICE = 5

/** Runs until `stop` aborts, then drains every child. `crashed` (an embedded server died) ends it with that error. */
export async function superviseAll(
  config: Config,
  log: Logger,
  stop: AbortSignal,
  crashed: Promise<Error>,
): Promise<void> {
  const roles = ROLES.flatMap((role): Role[] =>
    role === 'scorer' ? new Array<Role>(config.scorers).fill(role) : [role],
  )
  const environment = childEnvironment(config)
  const ready = new Set<number>()
  const children = roles.map((role, index) =>
    keepRunning(role, environment, log, stop, (url) => {
      ready.add(index)
      if (url) log.info({ url, docs: `${url}/docs` }, 'API is listening')
      if (ready.size === roles.length)
        log.info(
          { kafka: config.kafkaBrokers.join(','), database: config.connections.warehouse, scorers: config.scorers },
          'Scoreline is ready',
        )
    }),
  )
  const stopped = new Promise<null>((resolve) => {
    if (stop.aborted) resolve(null)
    stop.addEventListener('abort', () => resolve(null), { once: true })
  })
  const error = await Promise.race([crashed, stopped])
  // Together: each role drains what it has, and what it leaves in Kafka waits there.
  await Promise.all(children.map((child) => child.stop()))
  if (error) throw error
  log.info('Scoreline has stopped')
}

function keepRunning(
  role: Role,
  environment: NodeJS.ProcessEnv,
  log: Logger,
  stop: AbortSignal,
  onReady: (url?: string) => void,
): { stop(): Promise<void> } {
  let child: ChildProcess
  let ended: Promise<void>
  let delayMs = FIRST_DELAY_MS
  let timer: NodeJS.Timeout | undefined

  function start(): void {
    const startedAt = Date.now()
    // Flags of this process (a profiler's, say) are meant for the roles.
    const args = [...ROLE_FLAGS, ...process.execArgv, join(import.meta.dirname, 'main.ts'), role]
    child = spawn(process.execPath, args, { env: environment, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    if (child.pid !== undefined && GIVE_WAY.includes(role)) lowerPriority(child.pid)
    child.on('message', (message: { type: string; url?: string }) => {
      if (message.type === 'ready') onReady(message.url)
    })
    ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve()
        if (stop.aborted) return
        if (Date.now() - startedAt > HEALTHY_MS) delayMs = FIRST_DELAY_MS
        log.warn({ child: role, code, signal, againInMs: delayMs }, 'a process died; starting it again')
        timer = setTimeout(start, delayMs)
        delayMs = Math.min(LONGEST_DELAY_MS, delayMs * 2)
      })
    })
  }

  start()
  return {
    stop: async () => {
      clearTimeout(timer)
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS)
      await ended
      clearTimeout(kill)
    },
  }
}

/** Threads have the priority that the process had when they began: so this is done before it has any. */
function lowerPriority(pid: number): void {
  try {
    setPriority(pid, NICE)
  } catch {
    // It has died, and is started again.
  }
}

/** The children's settings: those of this process, with what was started for them filled in. */
function childEnvironment(config: Config): NodeJS.ProcessEnv {
  const { warehouse, ...others } = config.connections
  return {
    // Compiling is half of what a process costs at its start (the API's 1.2 CPU seconds become 0.7): one that died is back sooner.
    NODE_COMPILE_CACHE: join(config.dataDir, 'compile-cache'),
    ...process.env,
    KAFKA_BROKERS: config.kafkaBrokers.join(','),
    DATABASE_URL: warehouse,
    CONNECTIONS: JSON.stringify(others),
    DATA_DIR: config.dataDir,
  }
}
