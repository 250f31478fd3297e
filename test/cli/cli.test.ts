// The command line against the real service: what it prints and what it exits with.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { freePort } from '../../embedded/ports.ts'
import { whenFileEnds } from '../harness/file-end.ts'
import { CHURN_FEATURES, CUSTOMERS, seedCustomers, whenJob } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const repo = join(import.meta.dirname, '../..')
const CLI = join(repo, 'cli/main.ts')
const MODEL = join(repo, 'examples/churn/churn.onnx')

let service: Service
let folder: string

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts a program; `said` grows while it runs. */
function start(command: string, args: readonly string[]): { said: Omit<Ended, 'code'>; ended: Promise<Ended> } {
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, SCORELINE_URL: service.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said.stderr += text
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...said }))
  })
  return { said, ended }
}

/** Runs a program to its end. */
function run(command: string, args: readonly string[]): Promise<Ended> {
  return start(command, args).ended
}

function scoreline(...args: string[]): Promise<Ended> {
  return run(process.execPath, [CLI, ...args])
}

/** What it printed as JSON; it must have succeeded. */
async function json(...args: string[]): Promise<JsonObject> {
  const { code, stdout, stderr } = await scoreline(...args, '--json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

/** A query whose rows come slowly enough to be watched and cancelled. Wide ones, for Postgres sends what fills a buffer. */
const slow = (rows: number): string =>
  `${CUSTOMERS.replace(' FROM', ", repeat('.', 2000) AS padding FROM")} WHERE customer_id <= ${rows} AND pg_sleep(0.02) IS NOT NULL`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scoreline-cli-'))
  whenFileEnds(() => rmSync(folder, { recursive: true, force: true }))
  service = await startService({ name: 'cli' })
  await seedCustomers(service, 5_000)
  const { code, stdout } = await scoreline('models', 'push', MODEL, '--features', ...CHURN_FEATURES.split(','))
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'churn@1: input → label, probabilities\n' })
})

test('a job from flags, followed in a pipe: plain lines, exit 0', async () => {
  const { code, stdout } = await scoreline(
    ...['submit', '--wait', '--model', 'churn', '--query', CUSTOMERS, '--table', 'predictions.cli'],
  )
  expect(code, stdout).toBe(0)
  expect(stdout).toMatch(/^batch-[0-9a-f]{20}\n/)
  expect(stdout).toContain('  completed\n')
  expect(stdout).toContain('output   table predictions.cli: 5,000 rows durable')
  expect(stdout).not.toContain('\x1b')
  expect(await service.query('SELECT count(*)::int AS rows FROM predictions.cli')).toEqual([{ rows: 5_000 }])
})

test('on a terminal, progress is redrawn in place', async () => {
  const program = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
  const args = [
    'submit',
    '--wait',
    '--model',
    'churn',
    '--query',
    slow(60),
    '--csv',
    'on-a-terminal',
    '--batch-size',
    '20',
  ]
  const { code, stdout } = await run('python3', ['-c', program, process.execPath, CLI, ...args])
  expect(code, stdout).toBe(0)
  // Back to the beginning of the line, the rest of it erased, and written anew.
  const drawn = stdout.split('\r\x1b[K')
  expect(drawn.length).toBeGreaterThan(2)
  expect(drawn).toContainEqual(expect.stringMatching(/^[█░]{30} +\d+ % {2}[\d,]+ rows {2}[\d,]+ rows\/s/))
})

test('a YAML file with a flag over it; the result is fetched whole', async () => {
  const file = join(folder, 'job.yaml')
  writeFileSync(
    file,
    `model_id: churn\ninput:\n  source: sql\n  query: |\n    ${CUSTOMERS}\noutput:\n  destination: csv\n  path: nowhere\n`,
  )
  const submitted = await json('submit', file, '--parquet', 'from-yaml', '--wait')
  expect(submitted).toMatchObject({ status: 'completed', output: { destination: 'parquet', path: 'from-yaml' } })
  const result = await json('results', submitted.job_id, '--download', join(folder, 'saved'))
  const files = result.results[0].files
  expect(files.length).toBeGreaterThan(0)
  expect(result.downloaded).toEqual(files.map(({ name }: JsonObject) => join(folder, 'saved', name)))
  const digests = result.downloaded.map((path: string) => createHash('sha256').update(readFileSync(path)).digest('hex'))
  expect(digests).toEqual(files.map(({ sha256 }: JsonObject) => sha256))
})

test('the same idempotency key is the same job', async () => {
  const args = ['submit', '--model', 'churn', '--query', CUSTOMERS, '--csv', 'once', '--idempotency-key', 'k1']
  const first = await json(...args)
  expect(await json(...args)).toMatchObject({ job_id: first.job_id })
})

test('a failed job exits 1 and says why', async () => {
  // Counting does not compute the column, so it is found while reading.
  const query = 'SELECT customer_id, tenure, monthly_charges, 1 / (customer_id - 4000) AS total_charges FROM customers'
  const { code, stdout } = await scoreline(
    ...['submit', '--wait', '--model', 'churn', '--query', query, '--csv', 'fails', '--retries', '0'],
  )
  expect(code, stdout).toBe(1)
  expect(stdout).toMatch(/error {4}.*division by zero/)
})

test('a cancelled job exits 3', async () => {
  const { job_id } = await json('submit', '--model', 'churn', '--query', slow(1_000), '--csv', 'cancelled')
  const watching = scoreline('watch', job_id)
  await whenJob(service, job_id, 'started', ({ status }) => status === 'running')
  expect(await scoreline('cancel', job_id)).toMatchObject({ code: 0, stdout: `${job_id} is cancelled\n` })
  expect(await watching).toMatchObject({ code: 3 })
})

test('what a job stands still for is said, also to who follows it', async () => {
  const args = ['--model', 'churn', '--query', CUSTOMERS, '--csv', 'gpu', '--accelerator', 'gpu']
  const { job_id } = await json('submit', ...args)
  const watching = start(process.execPath, [CLI, 'watch', job_id])
  // It has to hear of it before the job is cancelled.
  await until(() => watching.said.stdout.includes('stands still'), { what: 'the follower to be told' })
  expect((await scoreline('status', job_id)).stdout).toMatch(/^waits {4}no scorer of the gpu pool is alive/m)
  expect(await json('cancel', job_id)).toMatchObject({ job_id, status: 'cancelled' })
  const { code, stdout } = await watching.ended
  expect({ code, stdout }).toEqual({
    code: 3,
    stdout: expect.stringMatching(/stands still: no scorer of the gpu pool/),
  })
})

test('what the service or the program refuses exits 2, with what to do', async () => {
  const refused = await scoreline('submit', '--model', 'nobody', '--query', CUSTOMERS, '--csv', 'x')
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain('/model_id: model nobody is not registered')
  expect((await scoreline('submit', '--table', 'a', '--csv', 'b')).code).toBe(2)
  expect((await scoreline('submit', 'no-such-file.json')).stderr).toContain('cannot read no-such-file.json')
  expect((await scoreline('fly')).code).toBe(2)
  expect(await scoreline('status', 'batch-none')).toMatchObject({ code: 2 })
})

test('a service that is not there exits 4', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const { code, stderr } = await scoreline('list', '--url', nobody)
  expect(code).toBe(4)
  expect(stderr).toContain(`no answer from ${nobody}`)
})

test('validate shows the columns and three scored rows', async () => {
  const { code, stdout } = await scoreline('validate', '--model', 'churn', '--query', CUSTOMERS, '--csv', 'valid')
  expect(code, stdout).toBe(0)
  expect(stdout).toContain('valid: 5,000 rows')
  expect(stdout).toMatch(/CUSTOMER_ID +LABEL +PROBABILITIES_0 +PROBABILITIES_1\n(.+\n){2}.+/)
})

test('lists, top and schedules', async () => {
  expect((await json('list', '--limit', '1')).data).toHaveLength(1)
  expect((await scoreline('models', 'list')).stdout).toMatch(/^MODEL +VERSION .*\nchurn +1 /)
  const { workers } = await json('top')
  expect(workers.map(({ role }: JsonObject) => role)).toEqual(['api', 'controller', 'reader', 'scorer', 'sink'])
  const file = join(folder, 'nightly.json')
  const job = {
    model_id: 'churn',
    input: { source: 'sql', query: CUSTOMERS },
    output: { destination: 'csv', path: 'n' },
  }
  writeFileSync(file, JSON.stringify({ ...job, schedule: { cron: '0 2 * * *' } }))
  const { schedule_id } = await json('submit', file)
  expect(await json('schedules', 'pause', schedule_id)).toMatchObject({ enabled: false })
  expect((await scoreline('schedules', 'list')).stdout).toMatch(new RegExp(`${schedule_id} +0 2 .*paused`))
  expect(await json('schedules', 'resume', schedule_id)).toMatchObject({ enabled: true })
  expect(await json('schedules', 'delete', schedule_id)).toEqual({ schedule_id, deleted: true })
})

test('top draws itself anew on a terminal', async () => {
  const program = `import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
drawn = b''
while drawn.count(b'\\x1b[H\\x1b[2J') < 3: drawn += os.read(terminal, 65536)
os.kill(pid, signal.SIGINT)
print(drawn.decode())`
  const { code, stdout } = await run('python3', ['-c', program, process.execPath, CLI, 'top'])
  expect(code, stdout).toBe(0)
  for (const drawn of stdout.split('\x1b[H\x1b[2J').slice(1, 3)) expect(drawn).toMatch(/ROLE +POOL[\s\S]*scorer +cpu/)
})

test('rows that failed are listed with their reasons, and run again', async () => {
  const model = join(repo, 'test/fixtures/models/per-column.onnx')
  expect(await json('models', 'push', model, '--id', 'per-column')).toMatchObject({ model_id: 'per-column' })
  // `visits` is an integer feature, so a row without it cannot be scored.
  await service.query(
    `CREATE TABLE visitors AS SELECT i AS id, i::real AS amount, CASE WHEN i % 10 > 0 THEN i::bigint END AS visits, 'pro' AS plan FROM generate_series(1, 30) i`,
  )
  const { job_id } = await json(
    ...['submit', '--wait', '--model', 'per-column', '--query', 'SELECT * FROM visitors', '--key', 'id'],
    ...['--table', 'predictions.visitors', '--max-failed-rows', '5'],
  )
  const { code, stdout } = await scoreline('errors', job_id)
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^KEY +REASON.*\n(\d0 .*visits is NULL.*\n){3}$/),
  })
  expect((await json('errors', job_id)).data).toHaveLength(3)
  await service.query('UPDATE visitors SET visits = 1 WHERE visits IS NULL')
  const again = await json('errors', job_id, '--redrive')
  expect((await scoreline('watch', again.job_id)).code).toBe(0)
  expect(await service.query('SELECT count(*)::int AS rows FROM predictions.visitors')).toEqual([{ rows: 30 }])
})

test('every command has JSON', async () => {
  const { job_id } = await json('submit', '--model', 'churn', '--query', CUSTOMERS, '--csv', 'json', '--wait')
  const answers = await Promise.all([
    json('status', job_id),
    json('watch', job_id),
    json('errors', job_id),
    json('results', job_id),
    json('validate', '--model', 'churn', '--query', CUSTOMERS, '--csv', 'json'),
    json('models', 'list'),
    json('models', 'push', MODEL, '--features', ...CHURN_FEATURES.split(',')),
    json('schedules', 'list'),
  ])
  expect(answers).toMatchObject([
    { job_id },
    { job_id, status: 'completed' },
    { data: [] },
    { job_id, results: [{ destination: 'csv' }] },
    { input_row_count: 5_000 },
    expect.arrayContaining([expect.objectContaining({ model_id: 'churn' })]),
    { model_id: 'churn', version: 1 },
    [],
  ])
})

test('the shell completes commands and options', async () => {
  const complete = (line: string) =>
    `source <(${process.execPath} ${CLI} completion bash); COMP_WORDS=(${line} ''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _scoreline; echo "\${COMPREPLY[@]}"`
  const words = async (line: string) => (await run('bash', ['-c', complete(line)])).stdout.trim().split(' ')
  expect(await words('scoreline')).toEqual(expect.arrayContaining(['submit', 'models', 'top']))
  expect(await words('scoreline models')).toEqual(expect.arrayContaining(['push', 'list']))
  expect(await words('scoreline --url http://somewhere submit')).toContain('--parquet')
})
