// Models that need too much memory, or that kill the process that runs them: the job fails and says why, the others go on.
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { failed, JOBS, modelBytes, registerModel, run, submit, whenJob } from '../harness/jobs.ts'
import { type JsonObject, type RoleProcess, type Service, startService } from '../harness/service.ts'
import { onnxModel } from '../model/onnx-writer.ts'

let service: Service

beforeAll(async () => {
  service = await startService({ name: 'hostile' })
  await registerModel(service, 'wide', 'wide.onnx', 'p,q')
  await registerModel(service, 'regressor', 'regressor.onnx', 'f1,f2')
  await registerModel(service, 'remainder', 'remainder.onnx')
})

/** 2^31, which does not fit, modulo -1: registering it kills the process that runs it. At zero the model refuses the row. */
function crashing(): Uint8Array {
  const doubled = Array.from({ length: 31 }, (_, i) => `double${i}`)
  const column = (name: string) => ({ name, type: 'int32' as const, shape: ['N', 1] })
  return onnxModel({
    inputs: [column('a')],
    outputs: [column('y')],
    nodes: [
      ...doubled.map((output, i) => {
        const input = doubled[i - 1] ?? 'a'
        return { op: 'Add', inputs: [input, input], outputs: [output] }
      }),
      { op: 'Neg', inputs: ['a'], outputs: ['minus'] },
      { op: 'Mod', inputs: ['double30', 'minus'], outputs: ['y'] },
    ],
  })
}

const scorer = (): RoleProcess => service.processes('scorer')[0] as RoleProcess

function job(model_id: string, query: string, table: string, config: JsonObject): JsonObject {
  return {
    model_id,
    input: { source: 'sql', query },
    output: { destination: 'table', table_name: `predictions.${table}` },
    config: { batch_size: 1000, parallelism: 4, timeout_minutes: 5, ...config },
  }
}

const numbers = (rows: number) => `FROM generate_series(1, ${rows}) i`
const harmless = (table: string, rows = 1000): JsonObject =>
  job('regressor', `SELECT i AS id, i::real AS f1, 1::real AS f2 ${numbers(rows)}`, table, {})

describe('memory', () => {
  // 200 KB for each row within the model: 2 GB for a chunk.
  const wide = (rows: number) => `SELECT i AS id, i::real AS p, 1::real AS q ${numbers(rows)}`

  test('a chunk that would pass max_memory_gb is scored in smaller batches, to the same predictions', async () => {
    const limit = 0.6
    await run(service, job('wide', wide(10_000), 'wide', { batch_size: 10_000, parallelism: 1, max_memory_gb: limit }))
    expect(
      await service.query('SELECT count(*)::int AS rows, sum(y - id - 1)::int AS off FROM predictions.wide'),
    ).toEqual([{ rows: 10_000, off: 0 }])
    // It was more than one row at a time, and never more than allowed.
    const peak = await peakGb(scorer().pid)
    expect(peak).toBeGreaterThan(0.25)
    expect(peak).toBeLessThan(limit)
  })

  test('where not even one row fits, the job fails and says what it needs; others go on', async () => {
    const other = submit(service, harmless('beside_memory', 20_000))
    const { error } = await failed(
      service,
      await submit(service, job('wide', wide(100), 'narrow', { max_memory_gb: 0.01 })),
    )
    expect(error).toMatchObject({
      code: 'memory_exceeded',
      message: expect.stringMatching(/max_memory_gb = 0\.01.*raise it/),
    })
    await whenJob(service, await other, 'completed', ({ status }) => status === 'completed', 120_000)
  })
})

describe('the API', () => {
  const register = (id: string, body: Uint8Array) =>
    service.request(`/api/v1/models/${id}`, {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream' },
    })
  const sample = (a: number, b: number) =>
    service.request(`${JOBS}?validate_only=true`, {
      body: job('remainder', `SELECT ${a} AS a, ${b} AS b`, 'sampled', {}),
    })

  test('outlives a model that kills the process which is to register it, and says so', async () => {
    const [api] = service.processes('api')
    const { status, body } = await register('crashing', crashing())
    expect([status, body.code]).toEqual([400, 'model_crashed'])
    expect(body.detail).toMatch(/^the model killed the process that ran it, by SIGFPE/)
    expect((await service.request('/api/v1/models/crashing')).status).toBe(404)
    expect((await register('remainder', await modelBytes('remainder.onnx'))).status).toBe(200)
    expect(service.processes('api')).toEqual([api])
  })

  test('outlives rows that kill the process which is to score them as a sample', async () => {
    const [api] = service.processes('api')
    const { status, body } = await sample(-2147483648, -1)
    expect([status, body.code]).toEqual([400, 'model_crashed'])
    expect(body.detail).toMatch(/^model remainder@1, with the first rows of the query, killed .* by SIGFPE/)
    expect((await sample(7, 3)).body).toMatchObject({ valid: true, sample: [{ y: 1 }] })
    expect(service.processes('api')).toEqual([api])
  })
})

// Some sessions have to time out, and processes to start.
describe('a row that kills the process that scores it', { timeout: 400_000 }, () => {
  const poisoned = (rows: number, poison: number) =>
    `SELECT i AS id, CASE WHEN i = ${poison} THEN -2147483648 ELSE i END AS a, CASE WHEN i = ${poison} THEN -1 ELSE 3 END AS b ${numbers(rows)}`

  test('costs one scorer, and fails its job after retry_count; jobs in the same lanes complete', async () => {
    const other = await submit(service, harmless('beside_crash', 200_000))
    await whenJob(service, other, 'in its middle', ({ progress }) => progress.processed_rows > 0)
    const first = scorer()
    const jobId = await submit(service, job('remainder', poisoned(20_000, 15_000), 'crashed', { retry_count: 2 }))
    expect(await first.ended).toEqual({ code: null, signal: 'SIGFPE' })
    const second = await service.start('scorer')

    const { error, attempt } = await failed(service, jobId, 120_000)
    expect(error).toMatchObject({
      code: 'model_crashed',
      message: expect.stringMatching(
        /model remainder@1 killed the process .* 3 times, at last on chunk \d+ of lane \d+ .*SIGFPE/,
      ),
    })
    expect(attempt).toBe(1)
    const done = await whenJob(service, other, 'completed', ({ status }) => status === 'completed', 120_000)
    expect(done.progress).toMatchObject({ written_rows: 200_000, failed_rows: 0 })
    expect(service.processes('scorer')).toEqual([second])
  })

  /** Its rows take some seconds to come, so its scorer ends when only a few of them are scored. */
  const trickling = (table: string): JsonObject => {
    const query = `SELECT i AS id, i::real AS f1, 1::real AS f2 ${numbers(3_000)}, pg_sleep(0.001 * (i / i))`
    return job('regressor', query, table, { batch_size: 50 })
  }

  test('a job that a dead scorer had in hand, and that is innocent, completes', async () => {
    const jobId = await submit(service, trickling('innocent'))
    await whenJob(service, jobId, 'under way', ({ progress }) => progress.processed_rows > 0)
    await scorer().kill('SIGKILL')
    const next = await service.start('scorer')
    const done = await whenJob(service, jobId, 'completed', ({ status }) => status === 'completed', 120_000)
    expect(done.progress).toMatchObject({ written_rows: 3_000 })
    expect(next.log.some((line) => line.includes('scoring it in a process of its own'))).toBe(true)
  })

  test('a scorer that was stopped in order leaves no suspicion behind', async () => {
    const jobId = await submit(service, trickling('orderly'))
    await whenJob(service, jobId, 'under way', ({ progress }) => progress.processed_rows > 0)
    await scorer().kill('SIGTERM')
    const next = await service.start('scorer')
    await whenJob(service, jobId, 'completed', ({ status }) => status === 'completed', 120_000)
    expect(next.log.some((line) => line.includes('scoring it in a process of its own'))).toBe(false)
  })
})

/** The most memory that a process has had resident. */
async function peakGb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024 ** 2
}
