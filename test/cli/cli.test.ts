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

/** Runs a program to its end. */
function run(command: string, args: readonly string[]): Promise<Ended> {
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
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...said }))
  })
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

/** A query whose rows come slowly enough to be watched and cancelled. */
const SLOW = `${CUSTOMERS} WHERE customer_id <= 400 AND pg_sleep(0.02) IS NOT NULL`

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
  const args = ['submit', '--wait', '--model', 'churn', '--query', SLOW, '--csv', 'on-a-terminal', '--batch-size', '20']
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
  const { job_id } = await json('submit', '--model', 'churn', '--query', SLOW, '--csv', 'cancelled')
  const watching = scoreline('watch', job_id)
  await whenJob(service, job_id, 'started', ({ status }) => status === 'running')
  expect(await scoreline('cancel', job_id)).toMatchObject({ code: 0, stdout: `${job_id} is cancelled\n` })
  expect(await watching).toMatchObject({ code: 3 })
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
  expect(await scoreline('schedules', 'delete', schedule_id)).toMatchObject({ code: 0 })
})

test('the shell completes commands and options', async () => {
  const complete = (line: string) =>
    `source <(${process.execPath} ${CLI} completion bash); COMP_WORDS=(${line} ''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _scoreline; echo "\${COMPREPLY[@]}"`
  const words = async (line: string) => (await run('bash', ['-c', complete(line)])).stdout.trim().split(' ')
  expect(await words('scoreline')).toEqual(expect.arrayContaining(['submit', 'models', 'top']))
  expect(await words('scoreline models')).toEqual(expect.arrayContaining(['push', 'list']))
})
