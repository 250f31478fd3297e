// `npm start`: the whole service in the foreground with its embedded servers. It says when it is ready, stops cleanly on
// SIGTERM with nothing left behind, goes on after a restart where it was, and leaves no process behind even when killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryDataDir } from '../../embedded/data-dir.ts'
import { freePort } from '../../embedded/ports.ts'
import { CHURN_FEATURES, churnJob, modelBytes } from '../harness/jobs.ts'
import type { JsonObject } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ROWS = 400_000
let directory: Awaited<ReturnType<typeof temporaryDataDir>>
let ports: { api: number; kafka: number; postgres: number }
let databaseUrl: string
const started: ChildProcess[] = []

beforeAll(async () => {
  directory = await temporaryDataDir('lifecycle')
  ports = { api: await freePort(), kafka: await freePort(), postgres: await freePort() }
  databaseUrl = `postgres://scoreline@127.0.0.1:${ports.postgres}/warehouse`
})

afterAll(async () => {
  for (const service of started) if (service.exitCode === null && service.signalCode === null) service.kill('SIGKILL')
  await until(() => started.every(({ pid }) => descendants(pid as number).length === 0), {
    what: 'every process to be gone',
  })
  await directory.remove()
})

test('a stop in the middle of a job leaves nothing behind, and a restart goes on with it', async () => {
  const first = await startAll()
  expect(first.lines.some((line) => line.includes(`http://127.0.0.1:${ports.api}`))).toBe(true)
  await withDatabase(async (database) => {
    await database.query(
      `CREATE TABLE customers AS SELECT i::bigint AS customer_id, (1 + i % 72)::int AS tenure, 20.5 + i % 90 AS monthly_charges, (i % 8000)::float8 AS total_charges FROM generate_series(1, ${ROWS}) i`,
    )
  })
  expect(
    await call('PUT', `/api/v1/models/churn?features=${CHURN_FEATURES}`, await modelBytes('churn.onnx')),
  ).toMatchObject({ version: 1 })
  const query = 'SELECT customer_id, tenure, monthly_charges::float8, total_charges FROM customers'
  const small = await call(
    'POST',
    '/api/v1/inference/batch',
    churnJob({
      query: `${query} WHERE customer_id <= 100`,
      output: { destination: 'table', table_name: 'predictions.small' },
    }),
  )
  await whenStatus(small.job_id, (job) => job.status === 'completed')
  const large = await call(
    'POST',
    '/api/v1/inference/batch',
    churnJob({ query, output: { destination: 'table', table_name: 'predictions.large' }, config: { batch_size: 200 } }),
  )
  await whenStatus(large.job_id, (job) => job.progress.processed_rows > 0)

  const family = descendants(first.child.pid as number)
  expect(family.length).toBeGreaterThan(7) // five roles, a second scorer, two servers
  first.child.kill('SIGTERM')
  expect(await once(first.child, 'exit')).toEqual([0, null])
  expect(family.filter(isAlive)).toEqual([])

  await startAll()
  expect(await call('GET', '/api/v1/models/churn')).toMatchObject({ versions: [{ version: 1 }] })
  expect(await call('GET', `/api/v1/inference/batch/${small.job_id}`)).toMatchObject({
    status: 'completed',
    progress: { written_rows: 100 },
  })
  await whenStatus(large.job_id, (job) => job.finished_at !== null)
  expect(await call('GET', `/api/v1/inference/batch/${large.job_id}`)).toMatchObject({
    status: 'completed',
    progress: { written_rows: ROWS },
  })
  await withDatabase(async (database) => {
    const { rows } = await database.query(
      'SELECT count(*)::int AS rows, count(DISTINCT customer_id)::int AS keys FROM predictions.large',
    )
    expect(rows).toEqual([{ rows: ROWS, keys: ROWS }])
  })
}, 400_000)

test('reader and scorers give way to the other processes, with all their threads', () => {
  const service = started.at(-1) as ChildProcess
  const family = descendants(service.pid as number).filter((pid) => commandOf(pid).includes('main.ts '))
  const priorities = family.map((pid) => `${commandOf(pid).split(' ').at(-1)} ${[...new Set(niceOf(pid))]}`)
  expect(priorities.sort()).toEqual(['api 0', 'controller 0', 'reader 5', 'scorer 5', 'scorer 5', 'sink 0'])
})

test('a role that dies is started again', async () => {
  const service = started.at(-1) as ChildProcess
  const [reader] = descendants(service.pid as number).filter((pid) => commandOf(pid).endsWith('main.ts reader'))
  process.kill(reader as number, 'SIGKILL')
  const replacement = await until(() =>
    descendants(service.pid as number).find((pid) => pid !== reader && commandOf(pid).endsWith('main.ts reader')),
  )
  expect(isAlive(replacement)).toBe(true)
})

test('kill -9 of the service takes every process with it', async () => {
  const service = started.at(-1) as ChildProcess
  const family = descendants(service.pid as number)
  expect(family.length).toBeGreaterThan(7)
  service.kill('SIGKILL')
  await until(() => family.every((pid) => !isAlive(pid)), { what: 'roles and servers to be gone' })
})

async function startAll(): Promise<{ child: ChildProcess; lines: string[] }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), 'all'], {
    env: {
      ...process.env,
      KAFKA_BROKERS: '',
      DATABASE_URL: '',
      DATA_DIR: directory.path,
      PORT: String(ports.api),
      KAFKA_PORT: String(ports.kafka),
      POSTGRES_PORT: String(ports.postgres),
      SCORERS: '2',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  await until(() => lines.some((line) => line.includes('Scoreline is ready')), {
    timeoutMs: 90_000,
    what: 'the service to say that it is ready',
  }).catch((error: Error) => {
    throw new Error(`${error.message}\n${lines.join('\n')}`)
  })
  const readiness = await fetch(`http://127.0.0.1:${ports.api}/readyz`)
  expect(readiness.status, await readiness.text()).toBe(200)
  return { child, lines }
}

async function call(method: string, path: string, body?: unknown): Promise<JsonObject> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(`http://127.0.0.1:${ports.api}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : {
          headers: { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
          body: bytes ? new Uint8Array(body) : JSON.stringify(body),
        }),
  })
  const answer = (await response.json()) as JsonObject
  expect(response.ok, JSON.stringify(answer)).toBe(true)
  return answer
}

function whenStatus(jobId: string, fits: (job: JsonObject) => boolean): Promise<boolean> {
  return until(async () => fits(await call('GET', `/api/v1/inference/batch/${jobId}`)), {
    timeoutMs: 90_000,
    what: `job ${jobId}`,
  })
}

async function withDatabase(work: (database: pg.Client) => Promise<void>): Promise<void> {
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  await work(database)
  await database.end()
}

/** Pids of all processes below one, from /proc. */
function descendants(root: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), parent: parentOf(Number(pid)) }))
  const found = new Set([root])
  for (let size = 0; size !== found.size; ) {
    size = found.size
    for (const { pid, parent } of parents) if (parent !== null && found.has(parent)) found.add(pid)
  }
  found.delete(root)
  return [...found]
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? null : Number(parent)
  } catch {
    return null
  }
}

function isAlive(pid: number): boolean {
  return parentOf(pid) !== null
}

/** Of each of its threads. */
function niceOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  })
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}
