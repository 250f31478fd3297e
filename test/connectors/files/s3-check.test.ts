// What an object store may answer: at submission, as problems that tell a user what to do; later, as failures that pass or
// do not. The store is real, the permissions are its own, and the network in between fails on demand.
import { PutBucketPolicyCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Sink } from '../../../connectors/connector.ts'
import { createFilesSink } from '../../../connectors/files/sink.ts'
import type { JobInput } from '../../../topics/jobs.ts'
import { type FlakyProxy, startFlakyProxy } from '../../harness/flaky-proxy.ts'
import { objectsIn, openUploads, type S3Server, startS3 } from '../../harness/s3.ts'
import { until } from '../../harness/until.ts'
import { connectorSettings } from '../settings.ts'
import { type JobOptions, SCORES, scoredChunk, sinkJob } from './batches.ts'

const INPUT: JobInput = { source: 'sql', query: 'SELECT 1', connection: 'warehouse', key_column: null }

let s3: S3Server
let proxy: FlakyProxy
let bucket: string
const sinks: Sink[] = []

beforeAll(async () => {
  s3 = await startS3()
  proxy = await startFlakyProxy(s3.endpoint)
  return async () => {
    proxy.stop()
    await s3.stop()
  }
})
beforeEach(async () => {
  bucket = await s3.bucket()
  proxy.failing = null
  return () => Promise.all(sinks.splice(0).map((sink) => sink.close()))
})
afterAll(() => void vi.unstubAllEnvs())

/** A sink with a user's keys; any bucket named test-… or missing is a root. */
function sinkAs(env: Readonly<Record<string, string>>, endpoint = s3.endpoint): Sink {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  const outputRoots = [`s3://${bucket}/`, 's3://no-such-bucket/']
  const sink = createFilesSink(connectorSettings({ outputRoots, s3: { endpoint, region: 'us-east-1' } }))
  sinks.push(sink)
  return sink
}

const check = (sink: Sink, path: string, output: JobOptions['output'] = {}) =>
  sink.check(sinkJob(path, { output }).output, SCORES, INPUT)
const codes = async (...args: Parameters<typeof check>) =>
  (await check(...args)).map(({ code, pointer }) => `${code} ${pointer}`)
const everything = () => objectsIn(s3.client, bucket, '')

/** Lets a user do these things in the bucket, and on what is in it. */
function allow(user: string, actions: readonly string[]) {
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: [user] },
        Action: actions.map((action) => `s3:${action}`),
        Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`],
      },
    ],
  })
  return s3.client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }))
}

describe('check', () => {
  test('accepts a place where the service may write, and leaves nothing there', async () => {
    const sink = sinkAs(s3.env)
    expect(await check(sink, `s3://${bucket}/new/place/`)).toEqual([])
    expect(await check(sink, `s3://${bucket}`, { destination: 'csv', mode: 'append' })).toEqual([])
    expect(await everything()).toEqual({})
    expect(await openUploads(s3.client, bucket)).toEqual([])
  })

  test('a bucket that is not there', async () => {
    const [problem, ...others] = await check(sinkAs(s3.env), 's3://no-such-bucket/x/')
    expect(problem).toMatchObject({ code: 'bucket_not_found', pointer: '/output/path' })
    expect(problem?.detail).toContain('s3://no-such-bucket/x/: there is no such bucket')
    expect(others).toEqual([])
  })

  test('a service without permission, or with wrong keys', async () => {
    const reader = await s3.user('reader')
    expect(await codes(sinkAs(reader), `s3://${bucket}/x/`)).toEqual(['path_not_writable /output/path'])
    await allow('reader', ['ListBucket', 'GetObject', 'ListBucketMultipartUploads'])
    const [problem] = await check(sinkAs(reader), `s3://${bucket}/x/`)
    expect(problem).toMatchObject({ code: 'path_not_writable' })
    expect(problem?.detail).toMatch(/AccessDenied/)
    const unknown = { AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: 'nothing' }
    expect(await codes(sinkAs(unknown), `s3://${bucket}/x/`)).toEqual(['path_not_writable /output/path'])
    expect(await openUploads(s3.client, bucket)).toEqual([])
  })

  test('the permissions that README lists are enough for a whole job, and a missing one is noticed', async () => {
    const actions = [
      'ListBucket',
      'ListBucketMultipartUploads',
      'GetObject',
      'PutObject',
      'DeleteObject',
      'AbortMultipartUpload',
      'ListMultipartUploadParts',
    ]
    const writer = await s3.user('writer')
    await allow('writer', actions)
    const sink = sinkAs(writer)
    for (const jobId of ['batch-a', 'batch-b']) {
      const job = sinkJob(`s3://${bucket}/x/`, { jobId, lanes: [0] })
      expect(await check(sink, `s3://${bucket}/x/`)).toEqual([])
      await sink.prepare(job)
      const lane = await sink.openLane(job, 0)
      await lane.write([scoredChunk(0, 0, 10)])
      await lane.end()
      await sink.finalise(job, 10n)
    }
    for (const action of actions.filter((other) => other !== 'DeleteObject')) {
      await allow(
        'writer',
        actions.filter((other) => other !== action),
      )
      expect(await codes(sink, `s3://${bucket}/x/`), action).toEqual(['path_not_writable /output/path'])
    }
  })

  test('looks at the result that is there', async () => {
    const sink = sinkAs(s3.env)
    const path = `s3://${bucket}/x/`
    const job = sinkJob(path, { lanes: [0] })
    await sink.prepare(job)
    const lane = await sink.openLane(job, 0)
    await lane.end()
    await sink.finalise(job, 0n)
    expect(await codes(sink, path, { mode: 'error' })).toEqual(['path_not_empty /output/path'])
    expect(await codes(sink, path, { mode: 'append' })).toEqual([])
    expect(await codes(sink, path, { mode: 'append', destination: 'csv' })).toEqual(['schema_mismatch /output/path'])
    expect(await codes(sink, path, { mode: 'upsert' })).toEqual(['mode_not_supported /output/mode'])
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'x/_manifest.json', Body: 'not ours' }))
    expect(await codes(sink, path, { mode: 'append' })).toEqual(['manifest_damaged /output/path'])
  })

  test('a store that is away is nobody’s fault: the same request may succeed later', async () => {
    const passing = { code: 'store_unavailable', retriable: true }
    await expect(check(sinkAs(s3.env, 'http://127.0.0.1:1'), `s3://${bucket}/x/`)).rejects.toMatchObject(passing)
    proxy.failing = { how: 'reset', methods: ['GET', 'POST'], times: Number.MAX_SAFE_INTEGER }
    await expect(check(sinkAs(s3.env, proxy.endpoint), `s3://${bucket}/x/`)).rejects.toMatchObject(passing)
    // Nor does a lost answer leave anything behind.
    proxy.failing = { how: 'lose', methods: ['POST'], times: 1 }
    expect(await check(sinkAs(s3.env, proxy.endpoint), `s3://${bucket}/x/`)).toEqual([])
    proxy.failing = null
    expect(await check(sinkAs(s3.env, proxy.endpoint), `s3://${bucket}/x/`)).toEqual([])
    expect(await openUploads(s3.client, bucket)).toEqual([])
  })
})

describe('a network that fails', () => {
  const jobOf = () => sinkJob(`s3://${bucket}/x/`, { lanes: [0], chunkRows: 2_000_000 })

  test.each(['busy', 'reset', 'lose'] as const)('for a moment (%s) is not noticed', async (how) => {
    const sink = sinkAs(s3.env, proxy.endpoint)
    const fail = () => {
      proxy.failing = { how, methods: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'], times: 1 }
    }
    const job = jobOf()
    fail()
    await sink.prepare(job)
    fail()
    const lane = await sink.openLane(job, 0)
    for (let seq = 0; seq < 3; seq++) {
      fail()
      await lane.write([scoredChunk(0, seq, 10)])
    }
    fail()
    await lane.end()
    fail()
    expect(await sink.finalise(job, 30n)).toMatchObject({ rows: 30n })
    proxy.failing = null
    expect(Object.keys(await everything())).toEqual([
      'x/_SUCCESS',
      'x/_manifest.json',
      ...[0, 1, 2].map((k) => `x/part-0000-0000${k}-batch-a.parquet`),
    ])
    expect(await openUploads(s3.client, bucket)).toEqual([])
  })

  test('for longer is a passing failure; the lane is opened again at its durable position', async () => {
    const sink = sinkAs(s3.env, proxy.endpoint)
    const job = jobOf()
    await sink.prepare(job)
    const lane = await sink.openLane(job, 0)
    await lane.write([scoredChunk(0, 0, 10)])
    proxy.failing = { how: 'busy', methods: ['PUT'], times: Number.MAX_SAFE_INTEGER }
    await expect(lane.write([scoredChunk(0, 1, 10)])).rejects.toMatchObject({
      code: 'store_unavailable',
      retriable: true,
    })
    await lane.close()
    proxy.failing = null
    const again = await sink.openLane(job, 0)
    expect(again.position).toMatchObject({ chunks: 1, rows: 10n })
    await again.write([scoredChunk(0, 1, 10)])
    await again.end()
    expect(await sink.finalise(job, 20n)).toMatchObject({ rows: 20n })
    expect(await openUploads(s3.client, bucket)).toEqual([])
  })

  test('a sink that is closed holds no connection', async () => {
    const sink = sinkAs(s3.env, proxy.endpoint)
    expect(await check(sink, `s3://${bucket}/x/`)).toEqual([])
    expect(await proxy.connections()).toBeGreaterThan(0)
    await sink.close()
    await until(async () => (await proxy.connections()) === 0)
  })
})
