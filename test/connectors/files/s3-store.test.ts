// The sink on a real object store: whole jobs read back by PyArrow, replays, two writers, the modes, and that nothing
// stays behind: no object, and no multipart upload, which nobody would ever see but on the bill.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import { type FileStores, fileStores } from '../../../connectors/files/file-stores.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { FileStore, StagedPart } from '../../../connectors/files/store.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../../harness/s3.ts'
import { until } from '../../harness/until.ts'
import { connectorSettings } from '../settings.ts'
import { type JobOptions, scoredChunk, sinkJob } from './batches.ts'
import { summaryOf } from './s3-reader.ts'

const execute = promisify(execFile)
const CHUNK_ROWS = 2_000_000
const LARGE_MIB = 80

let s3: S3Server
let stores: FileStores
let sink: Sink
let bucket: string
/** URL of a result directory in the test's own bucket. */
let out: string

beforeAll(async () => {
  s3 = await startS3()
  for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
  return s3.stop
})
beforeEach(async () => {
  bucket = await s3.bucket()
  out = `s3://${bucket}/results/out/`
  const settings = connectorSettings({
    outputRoots: [`s3://${bucket}/results/`],
    s3: { endpoint: s3.endpoint, region: 'us-east-1' },
  })
  stores = fileStores(settings)
  sink = createFilesSink(settings, stores.open)
  return async () => {
    await sink.close()
    await stores.close()
  }
})
afterAll(() => void vi.unstubAllEnvs())

const job = (options: JobOptions = {}): SinkJob => sinkJob(out, { chunkRows: CHUNK_ROWS, ...options })
const objects = (prefix = 'results/out/') => objectsIn(s3.client, bucket, prefix)
const names = async () => Object.keys(await objects())
const manifest = async () => JSON.parse(String((await objects())['_manifest.json']))
const uploads = () => openUploads(s3.client, bucket)
const read = (format: 'parquet' | 'csv' = 'parquet') => summaryOf(s3, `${bucket}/results/out`, format)

async function writeLane(job: SinkJob, lane: number, chunks: number): Promise<void> {
  const writer = await sink.openLane(job, lane)
  for (let seq = writer.position.chunks; seq < chunks; seq++) await writer.write([scoredChunk(lane, seq, 10)])
  await writer.end()
  await writer.close()
}

/** Runs a whole job of `chunks` chunks of ten rows in each lane. */
async function run(job: SinkJob, chunks: number) {
  await sink.prepare(job)
  for (const lane of job.lanes) await writeLane(job, lane, chunks)
  return sink.finalise(job, BigInt(job.lanes.length * chunks * 10))
}

describe.each(['parquet', 'csv'] as const)('%s', (destination) => {
  test('a job becomes objects, a manifest and _SUCCESS, of which nothing is seen before', async () => {
    const job_ = job({ output: { destination } })
    await sink.prepare(job_)
    for (const lane of job_.lanes) await writeLane(job_, lane, 3)
    expect((await names()).filter((name) => !name.startsWith('_scoreline/'))).toEqual([])
    expect(await uploads()).toHaveLength(6)
    const result = await sink.finalise(job_, 60n)
    expect(result).toMatchObject({ rows: 60n, location: out })
    const found = await objects()
    expect(Object.keys(found)).toEqual([
      '_SUCCESS',
      '_manifest.json',
      ...[3, 7].flatMap((lane) => [0, 1, 2].map((k) => `part-000${lane}-0000${k}-batch-a.${destination}`)),
    ])
    const { files, ...written } = await manifest()
    expect(written).toMatchObject({ job_id: 'batch-a', format: destination, rows: 60, bytes: Number(result.bytes) })
    for (const { name, bytes } of files) expect(found[name]).toHaveLength(bytes)
    expect(await uploads()).toEqual([])
    const columns = ['customer_id', 'name', 'score']
    expect(await read(destination)).toEqual({ rows: 60, ids: 60, lowest: 3_000_000, highest: 7_002_009, columns })
  })

  test('a job without a row is readable and has its columns', async () => {
    expect(await run(job({ output: { destination } }), 0)).toMatchObject({ rows: 0n })
    expect(await read(destination)).toMatchObject({ rows: 0, columns: ['customer_id', 'name', 'score'] })
    expect(await uploads()).toEqual([])
  })

  test('a replay gives the same bytes', async () => {
    await run(job({ output: { destination } }), 3)
    const first = await objects()
    for (const name of Object.keys(first))
      await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `results/out/${name}` }))
    await run(job({ output: { destination } }), 3)
    expect(await objects()).toEqual(first)
  })
})

describe('a lane', () => {
  test('is durable part by part; a writer that was lost goes on at the last finished one', async () => {
    const job_ = job({ lanes: [0] })
    await sink.prepare(job_)
    // Never closed, as after kill -9: its upload of the second part stays begun.
    const lost = await sink.openLane(job_, 0)
    await lost.write([scoredChunk(0, 0, 10)])
    await (await stores.open(out)).begin(
      '_scoreline/batch-a/1/part-0000-00001.parquet',
      'part-0000-00001-batch-a.parquet',
    )
    const next = await sink.openLane(job_, 0)
    expect(next.position).toMatchObject({ chunks: 1, rows: 10n, done: false })
    await next.write([scoredChunk(0, 1, 10)])
    await next.end()
    expect(await uploads()).toHaveLength(3)
    expect(await sink.finalise(job_, 20n)).toMatchObject({ rows: 20n })
    expect(await uploads()).toEqual([])
    expect(await read()).toMatchObject({ rows: 20, ids: 20 })
  })

  test('writers of the same parts at the same time do no harm, and leave no upload behind', async () => {
    const job_ = job({ lanes: [0] })
    await sink.prepare(job_)
    const writers = await Promise.all([0, 1, 2].map(() => sink.openLane(job_, 0)))
    await Promise.all(
      writers.map(async (writer) => {
        for (let seq = 0; seq < 5; seq++) await writer.write([scoredChunk(0, seq, 10)])
        expect(await writer.end()).toMatchObject({ chunks: 5, rows: 50n, done: true })
        await writer.close()
      }),
    )
    await sink.finalise(job_, 50n)
    expect(await read()).toMatchObject({ rows: 50, ids: 50 })
    expect(await uploads()).toEqual([])
  })

  test('a writer whose attempt was discarded can neither begin, nor go on, nor finish', async () => {
    const job_ = job({ lanes: [0], chunkRows: 100, output: { target_file_mb: 100 } })
    await sink.prepare(job_)
    const [open, idle] = [await sink.openLane(job_, 0), await sink.openLane(job_, 0)]
    await open.write([scoredChunk(0, 0, 5)])
    await sink.discard(job_)
    const gone = { code: 'not_prepared', retriable: false }
    await expect(open.end()).rejects.toMatchObject(gone)
    await expect(idle.write([scoredChunk(0, 0, 5)])).rejects.toMatchObject(gone)
    const store = await stores.open(out)
    await expect(store.put('_scoreline/batch-a/1/end-0000.json', Buffer.from('{}'))).rejects.toMatchObject(gone)
    await open.close()
    await idle.close()
    expect(await names()).toEqual([])
    expect(await uploads()).toEqual([])
  })

  test('an upload that a lifecycle rule has aborted is a passing failure: the lane is opened again', async () => {
    const job_ = job({ lanes: [0], chunkRows: 100, output: { target_file_mb: 100 } })
    await sink.prepare(job_)
    const writer = await sink.openLane(job_, 0)
    await writer.write([scoredChunk(0, 0, 5)])
    const store = await stores.open(out)
    await store.forget(await store.begun())
    await expect(writer.end()).rejects.toMatchObject({ code: 'upload_lost', retriable: true })
    await writer.close()
    const again = await sink.openLane(job_, 0)
    await again.write([scoredChunk(0, 0, 5)])
    await again.end()
    expect(await sink.finalise(job_, 5n)).toMatchObject({ rows: 5n })
  })
})

describe('a part', () => {
  const name = '_scoreline/batch-a/1/part-0000-00000.parquet'
  const finalName = 'part-0000-00000-batch-a.parquet'
  const bytes = Buffer.alloc(20 * 1024 ** 2, 'scoreline')
  let store: FileStore
  beforeEach(async () => {
    store = await stores.open(out)
    await store.createDirectory('_scoreline/batch-a/1')
  })

  async function staged(): Promise<StagedPart> {
    const file = await store.begin(name, finalName)
    // Pieces of the upload and writes need not agree; what was written may be reused at once.
    const buffer = Buffer.alloc(3 * 1024 ** 2)
    for (let at = 0; at < bytes.length; at += buffer.length) {
      const count = bytes.copy(buffer, 0, at)
      await file.write(buffer.subarray(0, count))
      buffer.fill(0)
    }
    return { name, finalName, receipt: await file.commit(), bytes: bytes.length }
  }

  test('of several pieces is what was written; publishing it twice, by either upload, changes nothing', async () => {
    const [first, second] = [await staged(), await staged()]
    expect(JSON.parse(first.receipt).etags).toHaveLength(3)
    expect(await store.missing([first, second])).toEqual([])
    await store.publish([first])
    await store.publish([first])
    await store.publish([second])
    await store.publish([first])
    expect((await objects())[finalName]?.equals(bytes)).toBe(true)
    expect(await store.missing([first, second])).toEqual([])
    expect(await uploads()).toEqual([])
  })

  test('is missing when its upload was aborted, or has another size; publishing says so', async () => {
    const part = await staged()
    expect(await store.missing([{ ...part, bytes: part.bytes - 1 }])).toHaveLength(1)
    await store.forget(await store.begun())
    expect(await store.missing([part])).toEqual([part])
    await expect(store.publish([part])).rejects.toMatchObject({ code: 'rows_lost', retriable: false })
    // Nor is it the object that another attempt has published under that name.
    await store.createDirectory('_scoreline/batch-a/2')
    const file = await store.begin('_scoreline/batch-a/2/part-0000-00000.parquet', finalName)
    await file.write(bytes)
    await store.publish([
      {
        name: '_scoreline/batch-a/2/part-0000-00000.parquet',
        finalName,
        receipt: await file.commit(),
        bytes: bytes.length,
      },
    ])
    expect(await store.missing([part])).toEqual([part])
    await store.withdraw([part])
    expect((await objects())[finalName]).toHaveLength(bytes.length)
  })

  test('is taken back from wherever it is', async () => {
    const [published, open] = [await staged(), await staged()]
    await store.publish([published])
    await store.withdraw([open, published])
    await store.withdraw([open, published])
    expect((await objects())[finalName]).toBeUndefined()
    expect(await uploads()).toEqual([])
  })

  test('that is committed is not aborted any more: its record may be there already', async () => {
    const file = await store.begin(name, finalName)
    await file.write(bytes)
    const part = { name, finalName, receipt: await file.commit(), bytes: bytes.length }
    await file.abort()
    await store.publish([part])
    expect((await objects())[finalName]).toHaveLength(bytes.length)
  })

  describe('that is just being completed, for another controller or for one that has died', () => {
    /** Large: the store is at it for some tens of milliseconds. */
    async function large(): Promise<StagedPart> {
      const file = await store.begin(name, finalName)
      for (let i = 0; i < LARGE_MIB; i++) await file.write(bytes.subarray(0, 1024 ** 2))
      return { name, finalName, receipt: await file.commit(), bytes: LARGE_MIB * 1024 ** 2 }
    }
    const isThere = () =>
      s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: `results/out/${finalName}` })).then(
        () => true,
        () => false,
      )

    test('is not missing at any moment', async () => {
      const part = await large()
      let done = false
      const publishing = store.publish([part]).finally(() => {
        done = true
      })
      while (!done) expect(await store.missing([part])).toEqual([])
      await publishing
    })

    test('is there when any of those who publish it is told so', async () => {
      const part = await large()
      const seen = await Promise.all([0, 1, 2, 3].map(() => store.publish([part]).then(isThere)))
      expect(seen).toEqual([true, true, true, true])
    })

    test('does not come after it was taken back', async () => {
      const part = await large()
      // Either it is done, or it is told that the part is lost.
      const publishing = store.publish([part]).catch((error: unknown) => {
        if ((error as { code?: string }).code !== 'rows_lost') throw error
      })
      await until(async () => (await uploads()).length === 0, { everyMs: 1 })
      await store.withdraw([part])
      await publishing
      expect(await isThere()).toBe(false)
      expect(await uploads()).toEqual([])
    })
  })

  test('takes two pieces of memory, whatever its size', async () => {
    const program = `
      import { fileStores } from './connectors/files/file-stores.ts'
      const stores = fileStores({ s3: { endpoint: '${s3.endpoint}', region: 'us-east-1' } })
      const store = await stores.open('${out}')
      const file = await store.begin('${name}', '${finalName}')
      const bytes = Buffer.alloc(1024 ** 2, 'scoreline')
      const write = async (mib) => { for (let i = 0; i < mib; i++) await file.write(bytes) }
      await write(40)
      const before = process.resourceUsage().maxRSS
      await write(260)
      const receipt = await file.commit()
      console.log(JSON.stringify({ before, grown: process.resourceUsage().maxRSS - before, receipt }))
      await stores.close()`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program])
    const { grown, receipt } = JSON.parse(stdout)
    const mib = 1024
    expect(grown).toBeLessThan(80 * mib)
    const part = { name, finalName, receipt, bytes: 300 * 1024 ** 2 }
    expect(await store.missing([part])).toEqual([])
    await store.withdraw([part])
  })
})

describe('finalise and discard', () => {
  test('twice gives the same result, and discard afterwards takes nothing', async () => {
    const first = await run(job(), 2)
    const before = await objects()
    expect(await sink.finalise(job(), 40n)).toEqual(first)
    await sink.discard(job())
    expect(await objects()).toEqual(before)
  })

  test('says what is lost and leaves the old result alone', async () => {
    await run(job(), 1)
    const before = await objects()
    const next = job({ jobId: 'batch-b' })
    await sink.prepare(next)
    for (const lane of next.lanes) await writeLane(next, lane, 2)
    await expect(sink.finalise(next, 41n)).rejects.toThrow(/expected 41 rows in all, 40 are staged/)
    const store = await stores.open(out)
    await store.forget((await store.begun()).slice(0, 1))
    await expect(sink.finalise(next, 40n)).rejects.toThrow(/part-0003-00000.parquet is not there/)
    await sink.discard(next)
    expect(await objects()).toEqual(before)
    expect(await uploads()).toEqual([])
  })

  test('overwrite: the old result is readable until the new one is whole, and then gone', async () => {
    await run(job(), 2)
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'results/out/notes.txt', Body: 'mine' }))
    const next = job({ jobId: 'batch-b', output: { destination: 'csv' } })
    await sink.prepare(next)
    for (const lane of next.lanes) await writeLane(next, lane, 1)
    expect(await names()).toContain('_SUCCESS')
    const old = await objects()
    for (const { name, bytes } of (await manifest()).files) expect(old[name]).toHaveLength(bytes)
    await sink.finalise(next, 20n)
    expect(await names()).toEqual([
      '_SUCCESS',
      '_manifest.json',
      'notes.txt',
      'part-0003-00000-batch-b.csv',
      'part-0007-00000-batch-b.csv',
    ])
    expect(await manifest()).toMatchObject({ job_id: 'batch-b', rows: 20, results: [{ job_id: 'batch-b', rows: 20 }] })
  })

  test('append keeps what is there; jobs that finish together are both in the manifest', async () => {
    const output = { mode: 'append' as const }
    await run(job({ output, lanes: [0] }), 1)
    await Promise.all(['batch-b', 'batch-c'].map((jobId, i) => run(job({ jobId, output, lanes: [i + 1] }), 2)))
    expect((await manifest()).rows).toBe(50)
    expect(await read()).toMatchObject({ rows: 50, ids: 50 })
  })

  test('a result that expires takes its own files, and the directory is a result without it', async () => {
    const output = { mode: 'append' as const }
    await run(job({ output, lanes: [0] }), 1)
    await run(job({ output, lanes: [1], jobId: 'batch-b' }), 2)
    await sink.expire(job({ output }))
    await sink.expire(job({ output }))
    expect(await names()).toContain('_SUCCESS')
    expect((await manifest()).rows).toBe(20)
    expect(await read()).toMatchObject({ rows: 20, lowest: 1_000_000 })
    await sink.expire(job({ output, jobId: 'batch-b' }))
    expect(await names()).toEqual([])
  })

  test('discard leaves nothing of the attempt, published, staged or begun, and everything of other jobs', async () => {
    const other = job({ jobId: 'batch-b', lanes: [0] })
    await sink.prepare(other)
    await writeLane(other, 0, 1)
    await s3.client.send(
      new CreateMultipartUploadCommand({ Bucket: bucket, Key: 'results/out/part-0000-00000-xbatch-a.parquet' }),
    )
    await sink.prepare(job())
    await writeLane(job(), 3, 2)
    const open = await sink.openLane(job({ chunkRows: 100 }), 7)
    await open.write([scoredChunk(7, 0, 10)])
    await sink.discard(job())
    expect((await names()).filter((name) => name.includes('batch-a'))).toEqual([])
    expect((await uploads()).sort()).toEqual([
      'results/out/part-0000-00000-batch-b.parquet',
      'results/out/part-0000-00000-xbatch-a.parquet',
    ])
    expect(await sink.finalise(other, 10n)).toMatchObject({ rows: 10n })
  })

  test('a late discard of an earlier attempt does not touch the uploads of the one that is running', async () => {
    await sink.prepare(job())
    await writeLane(job(), 3, 1)
    await sink.discard(job())
    const second = job({ attempt: 2 })
    await sink.prepare(second)
    for (const lane of second.lanes) await writeLane(second, lane, 1)
    await sink.discard(job())
    expect(await sink.finalise(second, 20n)).toMatchObject({ rows: 20n })
    expect(await manifest()).toMatchObject({ attempt: 2, rows: 20 })
    expect(await uploads()).toEqual([])
  })

  test('mode error does not touch a result that appeared meanwhile', async () => {
    const late = job({ jobId: 'batch-b', output: { mode: 'error' } })
    await sink.prepare(late)
    for (const lane of late.lanes) await writeLane(late, lane, 1)
    await run(job(), 1)
    const before = await manifest()
    await expect(sink.finalise(late, 20n)).rejects.toMatchObject({ code: 'path_not_empty', retriable: false })
    await sink.discard(late)
    expect(await manifest()).toEqual(before)
    expect(await uploads()).toEqual([])
  })
})
