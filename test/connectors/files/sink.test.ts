// What is particular to files, beside the sink contract (contract.test.ts): names and bytes, the manifest, parts, paths.
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LANE_START, type Sink, type SinkJob } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'
import { partPlan } from '../../../connectors/files/part-plan.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { JobInput } from '../../../topics/jobs.ts'
import { connectorSettings } from '../settings.ts'
import { type JobOptions, SCORES, scoredChunk, sinkJob } from './batches.ts'
import { Crash, crashingStore, lifeOf } from './crashing-store.ts'
import { duckdb } from './duckdb.ts'
import { mountSmallDisk } from './small-disk.ts'

let root: string
let sink: Sink
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'scoreline-files-'))
  sink = createFilesSink(connectorSettings({ outputRoots: [`file://${root}/`] }))
})
afterEach(() => rm(root, { recursive: true, force: true }))

/** Chunks as large as the plan allows make parts of one chunk: many parts without many rows. */
const CHUNK_ROWS = 2_000_000

function job(options: JobOptions = {}): SinkJob {
  return sinkJob('out', { chunkRows: CHUNK_ROWS, ...options })
}

async function writeLane(job: SinkJob, lane: number, chunks: number, rows = 10): Promise<void> {
  const writer = await sink.openLane(job, lane)
  for (let seq = writer.position.chunks; seq < chunks; seq++) await writer.write([scoredChunk(lane, seq, rows)])
  await writer.end()
  await writer.close()
}

/** Runs a whole job of `chunks` chunks of ten rows in each lane. */
async function run(job: SinkJob, chunks: number) {
  await sink.prepare(job)
  for (const lane of job.lanes) await writeLane(job, lane, chunks)
  return sink.finalise(job, BigInt(job.lanes.length * chunks * 10))
}

const names = (path = 'out') => readdir(join(root, path)).then((found) => found.sort())
const manifest = async () => JSON.parse(await readFile(join(root, 'out/_manifest.json'), 'utf8'))

async function hashes(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of (await readdir(directory)).sort()) {
    found[name] = createHash('sha256')
      .update(await readFile(join(directory, name)))
      .digest('hex')
  }
  return found
}

test.each([
  { beside: 'nothing else there', alone: true },
  { beside: 'what others added stays', alone: false },
])('a removal that was cut off after any of its changes is gone on with; $beside', async ({ alone }) => {
  const failing = job({ lanes: [3, 7] })
  const other = job({ jobId: 'batch-b', output: { mode: 'append' }, lanes: [1] })
  for (let changes = 0, crashed = true; crashed; changes++) {
    await sink.prepare(failing)
    for (const lane of failing.lanes) {
      const writer = await sink.openLane(failing, lane)
      await writer.write([scoredChunk(lane, 0, 10, 1)])
      await writer.end()
    }
    await sink.finalise(failing, 20n)
    if (!alone) await run(other, 1)
    const life = lifeOf(changes)
    const settings = connectorSettings({ outputRoots: [`file://${root}/`] })
    const dying = createFilesSink(settings, async (path) => crashingStore(openLocalStore(path), life))
    crashed = await dying.expire(failing).then(
      () => false,
      (error) => {
        expect(error).toBeInstanceOf(Crash)
        return true
      },
    )
    await sink.expire(failing)
    expect(await names()).toEqual(alone ? [] : ['_SUCCESS', '_manifest.json', 'part-0001-00000-batch-b.parquet'])
    if (!alone) expect((await manifest()).files).toHaveLength(1)
    await sink.expire(other)
    if (changes > 100) throw new Error('a removal of a hundred changes')
  }
})

test('the plan of these tests has parts of one chunk', () => {
  expect(partPlan(CHUNK_ROWS, SCORES, job().output)).toEqual({ groupChunks: 1, partChunks: 1 })
})

describe.each([
  { destination: 'parquet', compression: null, extension: 'parquet' },
  { destination: 'parquet', compression: 'snappy', extension: 'parquet' },
  { destination: 'csv', compression: null, extension: 'csv' },
  { destination: 'csv', compression: 'gzip', extension: 'csv.gz' },
] as const)('$destination, compression $compression', ({ extension, ...output }) => {
  const read = (path: string) =>
    output.destination === 'csv'
      ? `read_csv('${root}/${path}/*.${extension}', header = true, types = {'score': 'FLOAT'})`
      : `'${root}/${path}/*.parquet'`

  test('a job becomes files, a manifest and _SUCCESS', async () => {
    const job_ = job({ output })
    const result = await run(job_, 3)
    expect(result).toMatchObject({ rows: 60n, location: `file://${root}/out/` })
    expect(await names()).toEqual([
      '_SUCCESS',
      '_manifest.json',
      ...[3, 7].flatMap((lane) => [0, 1, 2].map((k) => `part-000${lane}-0000${k}-batch-a.${extension}`)),
    ])
    const written = await manifest()
    expect(written).toMatchObject({
      job_id: 'batch-a',
      attempt: 1,
      model: { id: 'churn', version: 2 },
      format: output.destination,
      schema: [
        { name: 'customer_id', type: 'int64' },
        { name: 'name', type: 'utf8' },
        { name: 'score', type: 'float32' },
      ],
      rows: 60,
      bytes: Number(result.bytes),
    })
    const found = await hashes(join(root, 'out'))
    for (const file of written.files) expect(found[file.name]).toBe(file.sha256)
    expect(
      await duckdb(`SELECT count(*) AS n, count(DISTINCT customer_id) AS ids, count(name) AS names,
        count(*) FILTER (score = (customer_id % 100 / 100.0)::FLOAT) AS right FROM ${read('out')}`),
    ).toEqual([{ n: '60', ids: '60', names: '40', right: '60' }])
  })

  test('a job without a row is readable and has its columns', async () => {
    const job_ = job({ output })
    expect(await run(job_, 0)).toMatchObject({ rows: 0n })
    expect(await duckdb(`SELECT count(customer_id) AS n FROM ${read('out')}`)).toEqual([{ n: '0' }])
    expect(await run(job_, 0).catch((error) => error.code)).toMatchObject({ rows: 0n })
    expect(await names()).toEqual(['_SUCCESS', '_manifest.json', `part-0003-00000-batch-a.${extension}`])
  })

  test('rows that failed lie beside the result, until it is replaced, expired or taken back', async () => {
    const failing = job({ output, lanes: [3, 7], keyColumn: 'id' })
    await sink.prepare(failing)
    for (const [lane, failedRows] of [
      [3, 2],
      [7, 0],
    ] as const) {
      const writer = await sink.openLane(failing, lane)
      await writer.write([scoredChunk(lane, 0, 10, failedRows)])
      await writer.end()
    }
    expect(await names()).not.toContain('_errors')
    await sink.finalise(failing, 20n)
    await sink.finalise(failing, 20n)
    expect(await names('out/_errors')).toEqual(['part-0003-00000-batch-a.jsonl'])
    const lines = (await readFile(join(root, 'out/_errors/part-0003-00000-batch-a.jsonl'), 'utf8')).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      [0, 1].map((row) => ({
        key: `0/${row}`,
        reason: 'score is NULL',
        input: { id: `0/${row}` },
        lane: 3,
        chunk: 0,
        row,
      })),
    )
    expect(await duckdb(`SELECT count(*) AS n FROM ${read('out')}`)).toEqual([{ n: '20' }])

    const added = job({ jobId: 'batch-b', output: { ...output, mode: 'append' }, lanes: [1] })
    await sink.prepare(added)
    const writer = await sink.openLane(added, 1)
    await writer.write([scoredChunk(1, 0, 10, 1)])
    await writer.end()
    await sink.finalise(added, 10n)
    expect(await names('out/_errors')).toHaveLength(2)
    await sink.expire(added)
    expect(await names('out/_errors')).toEqual(['part-0003-00000-batch-a.jsonl'])

    await run(job({ jobId: 'batch-c', output }), 1)
    expect(await names()).not.toContain('_errors')
  })

  test('of very many failed rows in a part the first are listed, the others counted', async () => {
    const failing = job({ output, lanes: [1] })
    await sink.prepare(failing)
    const writer = await sink.openLane(failing, 1)
    await writer.write([scoredChunk(1, 0, 1, 10_007)])
    await writer.end()
    await sink.finalise(failing, 1n)
    const lines = (await readFile(join(root, 'out/_errors/part-0001-00000-batch-a.jsonl'), 'utf8')).trim().split('\n')
    expect(lines).toHaveLength(10_001)
    expect(lines.at(-1)).toBe('{"omitted":7}')
  })

  test('a replay gives the same bytes', async () => {
    const job_ = job({ output })
    await run(job_, 3)
    const first = await hashes(join(root, 'out'))
    await rm(join(root, 'out'), { recursive: true })
    await run(job_, 3)
    expect(await hashes(join(root, 'out'))).toEqual(first)
  })
})

describe('a lane', () => {
  const small = () => sinkJob('out', { chunkRows: 100_000, lanes: [0], output: { target_file_mb: 11 } })

  test('is durable part by part; a writer that was lost goes on at the last finished one', async () => {
    const job_ = small()
    const { partChunks } = partPlan(job_.chunkRows, job_.columns, job_.output)
    expect(partChunks).toBe(10)
    await sink.prepare(job_)
    const lost = await sink.openLane(job_, 0)
    expect(lost.position).toEqual(LANE_START)
    expect((await lost.write([0, 1, 2, 3].map((seq) => scoredChunk(0, seq, 5)))).chunks).toBe(0)
    const rest = Array.from({ length: 21 }, (_, i) => scoredChunk(0, i + 4, 5))
    expect(await lost.write(rest)).toMatchObject({ chunks: 20, rows: 100n, done: false })
    await lost.close()
    expect(await names('out/_scoreline/batch-a/1')).toEqual([
      'job.json',
      'part-0000-00000.json',
      'part-0000-00000.parquet',
      'part-0000-00001.json',
      'part-0000-00001.parquet',
    ])
    const next = await sink.openLane(job_, 0)
    expect(next.position).toEqual(lost.position)
    await next.write([20, 21, 22, 23, 24].map((seq) => scoredChunk(0, seq, 5)))
    expect(await next.end()).toMatchObject({ chunks: 25, rows: 125n, done: true })
    expect(await sink.finalise(job_, 125n)).toMatchObject({ rows: 125n })
  })

  test('row groups have a fixed number of chunks', async () => {
    const job_ = sinkJob('out', { chunkRows: 50_000, lanes: [0], output: { target_file_mb: 11 } })
    await sink.prepare(job_)
    const writer = await sink.openLane(job_, 0)
    await writer.write([0, 1, 2, 3, 4].map((seq) => scoredChunk(0, seq, 7)))
    await writer.end()
    await sink.finalise(job_, 35n)
    const groups = await duckdb(
      `SELECT DISTINCT row_group_id AS id, row_group_num_rows AS n FROM parquet_metadata('${root}/out/*.parquet') ORDER BY id`,
    )
    expect(groups.map((group) => group.n)).toEqual(['14', '14', '7'])
  })
})

describe('finalise', () => {
  test('says what is lost and leaves the old result alone', async () => {
    await run(job(), 1)
    const before = await hashes(join(root, 'out'))
    const next = job({ jobId: 'batch-b' })
    await sink.prepare(next)
    await writeLane(next, 3, 2)
    const error = await sink.finalise(next, 20n).catch((error) => error)
    expect(error).toMatchObject({ code: 'rows_lost', retriable: false })
    expect(error.message).toContain('lane 7 has not ended')
    await writeLane(next, 7, 2)
    await expect(sink.finalise(next, 41n)).rejects.toThrow(/expected 41 rows in all, 40 are staged/)
    await rm(join(root, 'out/_scoreline/batch-b/1/part-0003-00001.parquet'))
    await expect(sink.finalise(next, 40n)).rejects.toThrow(/part-0003-00001.parquet is not there/)
    await rm(join(root, 'out/_scoreline/batch-b/1/part-0003-00001.json'))
    await expect(sink.finalise(next, 40n)).rejects.toThrow(/lane 3: expected 2 chunks with 20 rows, 1 with 10 are/)
    await sink.discard(next)
    expect(await hashes(join(root, 'out'))).toEqual(before)
  })

  test('overwrite replaces what a manifest lists, and nothing else', async () => {
    await run(job(), 2)
    await writeFile(join(root, 'out/part-0003-00000-mine.parquet'), 'mine')
    await writeFile(join(root, 'out/notes.txt'), 'mine')
    await run(job({ jobId: 'batch-b', output: { destination: 'csv' } }), 1)
    expect(await names()).toEqual([
      '_SUCCESS',
      '_manifest.json',
      'notes.txt',
      'part-0003-00000-batch-b.csv',
      'part-0003-00000-mine.parquet',
      'part-0007-00000-batch-b.csv',
    ])
    expect(await manifest()).toMatchObject({ job_id: 'batch-b', rows: 20, results: [{ job_id: 'batch-b', rows: 20 }] })
  })

  test('append keeps what is there; jobs that finish together are both in the manifest', async () => {
    const output = { mode: 'append' as const }
    await run(job({ output }), 1)
    const jobs = ['batch-b', 'batch-c'].map((jobId) => job({ jobId, output }))
    const results = await Promise.all(jobs.map((next) => run(next, 2)))
    expect(results.map((result) => result.rows)).toEqual([40n, 40n])
    const written = await manifest()
    expect(written.rows).toBe(100)
    expect(new Set(written.results.map((result: { job_id: string }) => result.job_id))).toEqual(
      new Set(['batch-a', 'batch-b', 'batch-c']),
    )
    expect(await duckdb(`SELECT count(*) AS n FROM '${root}/out/*.parquet'`)).toEqual([{ n: '100' }])
    expect(await sink.finalise(job({ output }), 20n)).toMatchObject({ rows: 20n })
  })

  test('append takes another compression than what is there', async () => {
    const output = { destination: 'csv', mode: 'append' } as const
    await run(job({ output }), 1)
    await run(job({ jobId: 'batch-b', output: { ...output, compression: 'gzip' } }), 1)
    expect(await names()).toContain('part-0003-00000-batch-b.csv.gz')
    expect(await duckdb(`SELECT count(*) AS n FROM read_csv(['${root}/out/*.csv', '${root}/out/*.csv.gz'])`)).toEqual([
      { n: '40' },
    ])
  })
})

describe('check', () => {
  const input: JobInput = { source: 'sql', query: 'SELECT 1', connection: 'warehouse', key_column: null }
  const codes = async (output: JobOptions, columns = SCORES) =>
    (await sink.check(sinkJob('out', output).output, columns, input)).map(({ code, pointer }) => `${code} ${pointer}`)

  test('accepts a new directory in a relative, absolute or URL path, and creates nothing', async () => {
    for (const path of ['a/b', `${root}/a/b/`, `file://${root}/a%20b/`, `file://localhost${root}/a`, '.hidden', root]) {
      expect(await codes({ output: { path } }), path).toEqual([])
    }
    expect(await readdir(root)).toEqual([])
  })

  test('a root that is not there yet is made by the first job', async () => {
    sink = createFilesSink(connectorSettings({ outputRoots: [`file://${root}/not/yet/`] }))
    expect(await codes({})).toEqual([])
    expect(await run(job(), 1)).toMatchObject({ location: `file://${root}/not/yet/out/` })
    expect(await names('not/yet')).toEqual(['out'])
  })

  test('refuses paths that leave the roots', async () => {
    await mkdir(join(root, 'in'))
    await symlink('/tmp', join(root, 'in/link'))
    await symlink(join(root, 'nowhere'), join(root, 'in/dangling'))
    await symlink(join(root, 'in/loop'), join(root, 'in/loop'))
    const paths = [
      '..',
      '../x',
      'a/../../x',
      `${root}/../x`,
      `${root}x`,
      '/etc',
      '/',
      `file://${root}/../x`,
      `file://${root}/%2e%2e/x`,
      `file://${root}/%2E./x`,
      `file://${root}/a%2f..%2f..%2fx`,
      `file://${root}/%252e%252e/x`,
      `file://${root}/a%00`,
      `file://elsewhere${root}/a`,
      'file:relative',
      'a\0b',
      'a\nb',
      'a\\..\\..\\b',
      'in/link/x',
      'in/dangling/x',
      'in/loop/x',
      'https://example.org/x',
      'a/_scoreline/b',
      's3://bucket/x/',
      'x'.repeat(300),
    ]
    for (const path of paths) expect(await codes({ output: { path } }), path).toEqual(['path_not_allowed /output/path'])
    const job_ = sinkJob('in/link/x')
    const refused = { code: 'path_not_allowed', retriable: false }
    await expect(sink.prepare(job_)).rejects.toMatchObject(refused)
    await expect(sink.openLane(job_, 0)).rejects.toMatchObject(refused)
    await expect(sink.finalise(job_, 0n)).rejects.toMatchObject(refused)
    await expect(sink.discard(job_)).rejects.toMatchObject(refused)
    const [problem] = await sink.check(sinkJob('/etc').output, SCORES, input)
    expect(problem?.detail).toContain(`file://${root}/`)
  })

  test('follows links that stay inside', async () => {
    await mkdir(join(root, 'real'))
    await symlink(join(root, 'real'), join(root, 'alias'))
    expect(await codes({ output: { path: 'alias/x' } })).toEqual([])
  })

  test('names what else is wrong', async () => {
    await writeFile(join(root, 'file'), '')
    expect(await codes({ output: { path: null } })).toEqual(['path_required /output/path'])
    expect(await codes({ output: { path: 'file' } })).toEqual(['path_not_a_directory /output/path'])
    expect(await codes({ output: { path: 'file/x' } })).toEqual(['path_not_a_directory /output/path'])
    expect(await codes({ output: { mode: 'upsert' } })).toEqual(['mode_not_supported /output/mode'])
    expect(await codes({}, [...SCORES, { name: 'score', kind: 'int32' }])).toEqual(['duplicate_column /output/columns'])
    expect(await codes({}, [])).toEqual(['no_columns /output/columns'])
  })

  const readOnly = mountSmallDisk()
  afterAll(() => readOnly?.remove())

  test.skipIf(readOnly === null)(
    'refuses a directory where nothing may be written, and so does a job that comes there',
    async () => {
      const path = readOnly?.path as string
      readOnly?.makeReadOnly()
      const there = createFilesSink(connectorSettings({ outputRoots: [`file://${path}/`] }))
      const job_ = job({ output: { path: `${path}/scores/` } })
      const code = 'path_not_writable'
      expect(await there.check(job_.output, SCORES, input)).toMatchObject([
        { code, pointer: '/output/path', detail: expect.stringContaining('the service may not write there') },
      ])
      await expect(there.prepare(job_)).rejects.toMatchObject({ code, retriable: false })
    },
  )

  test('looks at the result that is there', async () => {
    await run(job(), 1)
    const other: typeof SCORES = [{ name: 'customer_id', kind: 'int64' }]
    expect(await codes({ output: { mode: 'overwrite' } }, other)).toEqual([])
    expect(await codes({ output: { mode: 'append' } })).toEqual([])
    expect(await codes({ output: { mode: 'append' } }, other)).toEqual(['schema_mismatch /output/path'])
    expect(await codes({ output: { mode: 'append', destination: 'csv' } })).toEqual(['schema_mismatch /output/path'])
    expect(await codes({ output: { mode: 'error' } })).toEqual(['path_not_empty /output/path'])
    await writeFile(join(root, 'out/_manifest.json'), 'not ours')
    expect(await codes({ output: { mode: 'append' } })).toEqual(['manifest_damaged /output/path'])
  })
})
