// The whole service of a bench: all roles and both servers as real processes, over REST.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { temporaryDataDir } from '../embedded/data-dir.ts'
import { freePort } from '../embedded/ports.ts'
import { startPostgres } from '../embedded/postgres.ts'

const repo = join(import.meta.dirname, '..')

export interface WholeService {
  readonly url: string
  readonly databaseUrl: string
  readonly brokers: string
  /** Where a relative `output.path` lies. */
  readonly outputRoot: string
  /** This process and the service, for `processCosts`. */
  readonly pids: readonly number[]
  call(method: string, path: string, body?: unknown): Promise<Answer>
  /** Gives the job's id. */
  submit(submission: object): Promise<string>
  /** Waits for the end of the job's event stream. */
  ended(jobId: string): Promise<void>
  stop(): Promise<void>
}

/** Of a job, as far as benches look at it. */
export interface Answer {
  job_id: string
  status: string
  submitted_at: string
  started_at: string
  finished_at: string
  progress: { written_rows: number }
  history: { status: string; at: string }[]
}

/** Flags for Node, of every role. */
export interface ServiceOptions {
  readonly flags: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** Starts Postgres and the service, and waits for neither: `whenReady` does. */
export async function startWholeService({ flags, environment }: ServiceOptions): Promise<WholeService> {
  const dataDir = await temporaryDataDir('bench')
  const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
  const [port, kafkaPort] = [await freePort(), await freePort()]
  const service = spawn(process.execPath, [...flags, join(repo, 'src/main.ts'), 'all'], {
    env: {
      ...process.env,
      DATA_DIR: join(dataDir.path, 'service'),
      DATABASE_URL: postgres.url,
      KAFKA_BROKERS: '',
      KAFKA_PORT: String(kafkaPort),
      PORT: String(port),
      LOG_LEVEL: 'warn',
      ...environment,
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const end = () => service.kill('SIGTERM')
  process.once('exit', end)
  const url = `http://127.0.0.1:${port}`
  const callHere: WholeService['call'] = (method, path, body) => call(url, method, path, body)
  return {
    url,
    databaseUrl: postgres.url,
    brokers: `127.0.0.1:${kafkaPort}`,
    outputRoot: join(dataDir.path, 'service', 'output'),
    pids: [process.pid, service.pid as number],
    call: callHere,
    submit: async (submission) => (await callHere('POST', '/api/v1/inference/batch', submission)).job_id,
    ended: async (jobId) => {
      const events = await fetch(`${url}/api/v1/inference/batch/${jobId}/events`)
      await events.text()
    },
    stop: async () => {
      process.off('exit', end)
      service.kill('SIGTERM')
      await once(service, 'exit')
      await postgres.stop()
      await dataDir.remove()
    },
  }
}

/** Until every role and dependency is up. */
export async function whenReady({ call }: WholeService): Promise<void> {
  for (;;) {
    const ready = await call('GET', '/readyz').catch(() => null)
    if (ready) return
    await new Promise((resume) => setTimeout(resume, 100))
  }
}

async function call(url: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    headers: body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
    ...(body === undefined ? {} : { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}
