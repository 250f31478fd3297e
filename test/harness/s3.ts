// A real object store for a test file: versitygw, an S3 server on a directory, built once into .cache/. It runs under the
// same guard as the embedded servers, so that nothing of it outlives the tests.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { cachedFolder } from '../../embedded/cache.ts'
import { freePort } from '../../embedded/ports.ts'
import { startServer } from '../../embedded/server.ts'

const run = promisify(execFile)

/** Pinned: what the tests run against must not change by itself. */
const VERSION = 'v1.8.0'

/** Of the root user, who may do everything. */
const ROOT = { accessKeyId: 'scoreline-root', secretAccessKey: 'scoreline-root-secret' }

export interface S3Server {
  readonly endpoint: string
  /** As the root user. */
  readonly client: S3Client
  /** The environment that gives a process the root user's keys. */
  readonly env: Readonly<Record<string, string>>
  /** Makes a bucket of its own for a test. */
  bucket(): Promise<string>
  /** A user who may do nothing but what bucket policies say; gives the environment with the keys. */
  user(name: string): Promise<Record<string, string>>
  /** Stops the server and deletes its data. */
  stop(): Promise<void>
}

/** Starts the server. Call it in beforeAll, which returns `stop`: an afterAll that is registered in there never runs. */
export async function startS3(): Promise<S3Server> {
  const binary = await versitygw()
  const dataDir = await mkdtemp(join(tmpdir(), 'scoreline-test-s3-'))
  const [data, accounts] = [join(dataDir, 'data'), join(dataDir, 'accounts')]
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const server = await startServer({
    name: 'versitygw',
    options: { port, dataDir },
    prepare: async () => {
      await Promise.all([data, accounts].map((folder) => mkdir(folder)))
      return {
        command: binary,
        args: ['--port', `127.0.0.1:${port}`, '--iam-dir', accounts, '--keep-alive', 'posix', data],
        cwd: dataDir,
        env: { ROOT_ACCESS_KEY_ID: ROOT.accessKeyId, ROOT_SECRET_ACCESS_KEY: ROOT.secretAccessKey },
        stopSignal: 'SIGTERM',
        stopTimeoutMs: 5_000,
      }
    },
    readyLine: /service listening on/,
    readyTimeoutMs: 30_000,
  })
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: ROOT })
  return {
    endpoint,
    client,
    env: keys(ROOT.accessKeyId, ROOT.secretAccessKey),
    bucket: async () => {
      const bucket = `test-${randomBytes(6).toString('hex')}`
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
      return bucket
    },
    user: async (name) => {
      const secret = `${name}-secret`
      const admin = ['admin', '-a', ROOT.accessKeyId, '-s', ROOT.secretAccessKey, '--endpoint-url', endpoint]
      await run(binary, [...admin, 'create-user', '-a', name, '-s', secret, '-r', 'user'])
      return keys(name, secret)
    },
    stop: async () => {
      client.destroy()
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Names and contents of all objects under a prefix, which is left out of the names. */
export async function objectsIn(client: S3Client, bucket: string, prefix: string): Promise<Record<string, Buffer>> {
  const found: Record<string, Buffer> = {}
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }))
  for (const { Key = '' } of Contents) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }))
    found[Key.slice(prefix.length)] = Buffer.from((await Body?.transformToByteArray()) ?? [])
  }
  return found
}

/** Keys of the multipart uploads in a bucket that are neither completed nor aborted. */
export async function openUploads(client: S3Client, bucket: string): Promise<string[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
  return Uploads.map(({ Key = '' }) => Key)
}

function keys(accessKeyId: string, secretAccessKey: string): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
}

/** The server's binary: about a minute the first time, where Go is installed. */
async function versitygw(): Promise<string> {
  const folder = await cachedFolder(`versitygw-${VERSION}`, async (folder) => {
    const target = `github.com/versity/versitygw/cmd/versitygw@${VERSION}`
    await run('go', ['install', target], { env: { ...process.env, GOBIN: folder }, maxBuffer: 16 << 20 }).catch(
      (error) => {
        throw new Error('The tests of S3 need an S3 server, which is built with Go: install Go 1.25 or later', {
          cause: error,
        })
      },
    )
  })
  return join(folder, 'versitygw')
}
