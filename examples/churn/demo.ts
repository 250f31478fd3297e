// `npm run demo`: the main job from nothing. Starts the whole service with an embedded Kafka and Postgres, fills
// `customers` with 500,000 rows, registers the churn model, submits the job over REST, draws its progress and checks the
// result. Exits 0 only if the table holds exactly the right rows.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import pg from 'pg'
import { createClient } from '../../cli/client.ts'
import { followJob } from '../../cli/follow.ts'
import { temporaryDataDir } from '../../embedded/data-dir.ts'
import { freePort } from '../../embedded/ports.ts'
import { startPostgres } from '../../embedded/postgres.ts'
import type { JobStatusBody } from '../../src/job/job-status.ts'
import { seedCustomers } from './seed.ts'

const ROWS = 500_000
const FEATURES = 'tenure,monthly_charges,total_charges'
const JOB = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers' },
  output: { destination: 'table', table_name: 'predictions.churn_scores', mode: 'overwrite' },
  config: { batch_size: 1000, parallelism: 4, timeout_minutes: 60 },
}

const here = import.meta.dirname
const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort())
process.once('SIGTERM', () => stopping.abort())

async function demo(signal: AbortSignal): Promise<void> {
  const dataDir = await temporaryDataDir('demo')
  const closing: (() => Promise<unknown>)[] = [dataDir.remove]
  try {
    say('starting Postgres and Kafka (the first time, Maven fetches Kafka: about ten seconds)')
    const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
    closing.push(() => postgres.stop())
    const service = startService(dataDir.path, postgres.url, await freePort(), await freePort())
    closing.push(() => stopService(service.child))
    const database = new pg.Client({ connectionString: postgres.url })
    await database.connect()
    closing.push(() => database.end())

    say(`filling customers with ${ROWS.toLocaleString('en')} rows`)
    await seedCustomers(postgres.url, ROWS)
    await service.ready(signal)
    say(`service is ready at ${service.url} (API description: ${service.url}/docs)`)

    const model = await rest(
      service.url,
      'PUT',
      `/api/v1/models/churn?features=${FEATURES}`,
      await readFile(join(here, 'churn.onnx')),
      signal,
    )
    say(
      `registered model churn, version ${model.version}: ${(model.inputs as { name: string }[]).map(({ name }) => name)} → ${(model.outputs as { name: string }[]).map(({ name }) => name).join(', ')}`,
    )
    const submitted = await rest(service.url, 'POST', '/api/v1/inference/batch', JOB, signal)
    say(
      `submitted job ${submitted.job_id}: ${submitted.input_row_count} rows, about ${Math.ceil(Number(submitted.estimated_duration_minutes) * 60)} s`,
    )
    const client = createClient(service.url, undefined)
    const job = await followJob(client, String(submitted.job_id), process.stdout, signal)
    await check(database, job)
  } finally {
    // Last started, first stopped; one that fails to stop must not keep the others.
    for (const close of closing.reverse()) await close().catch((error: Error) => console.error(error.message))
  }
}

/** The whole service in one process group of its own, so Ctrl-C reaches it through us and in the right order. */
function startService(dataDir: string, databaseUrl: string, kafkaPort: number, port: number) {
  const child = spawn(process.execPath, [resolve(here, '../../src/main.ts'), 'all'], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      DATABASE_URL: databaseUrl,
      KAFKA_BROKERS: '',
      KAFKA_PORT: String(kafkaPort),
      PORT: String(port),
      HOST: '127.0.0.1',
      API_KEYS: '',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  })
  const url = `http://127.0.0.1:${port}`
  return { child, url, ready: (signal: AbortSignal) => whenReady(url, child, signal) }
}

async function whenReady(url: string, child: ChildProcess, signal: AbortSignal): Promise<void> {
  while (child.exitCode === null) {
    signal.throwIfAborted()
    const answer = await fetch(`${url}/readyz`, { signal }).catch(() => null)
    if (answer?.ok) return
    await new Promise((resume) => setTimeout(resume, 200))
  }
  throw new Error('the service ended before it was ready; its messages are above')
}

async function stopService(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

async function rest(
  url: string,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    signal,
    headers: { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
    body: bytes ? new Uint8Array(body) : JSON.stringify(body),
  })
  const answer = (await response.json()) as Record<string, unknown>
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer, null, 2)}`)
  return answer
}

/** The table must hold each customer once, with a label and two probabilities that add up to one. */
async function check(database: pg.Client, job: JobStatusBody): Promise<void> {
  if (job.status !== 'completed')
    throw new Error(`the job is ${job.status}: ${job.error?.message ?? 'no reason given'}`)
  const { rows } = await database.query(`
    SELECT count(*)::int AS rows, count(DISTINCT p.customer_id)::int AS customers, count(c.customer_id)::int AS known,
           count(*) FILTER (WHERE abs(probabilities_0 + probabilities_1 - 1) > 1e-4 OR label <> (probabilities_1 > probabilities_0)::int)::int AS wrong
    FROM predictions.churn_scores p LEFT JOIN customers c USING (customer_id)`)
  const found = rows[0] as { rows: number; customers: number; known: number; wrong: number }
  const seconds = (Date.parse(job.finished_at ?? '') - Date.parse(job.started_at ?? '')) / 1000
  say(
    `${ROWS.toLocaleString('en')} rows in ${seconds.toFixed(2)} s: ${Math.round(ROWS / seconds).toLocaleString('en')} rows/s, from the start of the job to a readable table`,
  )
  console.table((await database.query('SELECT * FROM predictions.churn_scores ORDER BY customer_id LIMIT 5')).rows)
  if (found.rows !== ROWS || found.customers !== ROWS || found.known !== ROWS || found.wrong !== 0) {
    throw new Error(
      `expected each of ${ROWS} customers exactly once with a sound prediction; found ${JSON.stringify(found)}`,
    )
  }
  say(`checked: each of the ${ROWS.toLocaleString('en')} customers is there exactly once`)
}

function say(line: string): void {
  console.log(`• ${line}`)
}

try {
  await demo(stopping.signal)
} catch (error) {
  if (stopping.signal.aborted) console.error('stopped')
  else console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
