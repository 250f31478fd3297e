// The client of an object store, and the few requests that results need beside multipart uploads (s3-upload.ts).
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { ConnectorSettings, SignedUrl } from '../connector.ts'
import { isMissing, isNotImplemented, isOtherVersion, unless } from './s3-errors.ts'
import { signedLink } from './s3-link.ts'
import type { S3Place } from './s3-location.ts'

/** A place and how to get there. */
export interface S3Bucket extends S3Place {
  readonly client: S3Client
}

/** Requests of one operation that are under way at the same time. */
const AT_ONCE = 8

/**
 * The SDK tries again by itself, for a few seconds; what lasts longer is the caller's to wait out. A socket that is silent
 * for a minute is given up: completing a large upload may take long, but the store keeps the connection busy meanwhile.
 */
export function createS3Client({ endpoint, region }: ConnectorSettings['s3']): S3Client {
  return new S3Client({
    region,
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    maxAttempts: 5,
    // Stores other than AWS know MD5 and SHA-256 signatures, but often not the newer checksums.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: 5_000, socketTimeout: 60_000 },
  })
}

/** An object's metadata, or null when it is not there. */
export function head({ client, bucket, prefix }: S3Bucket, name: string): Promise<HeadObjectCommandOutput | null> {
  return unless(isMissing, client.send(new HeadObjectCommand({ Bucket: bucket, Key: prefix + name })), null)
}

export async function getObject(place: S3Bucket, name: string): Promise<Buffer | null> {
  return (await getVersion(place, name))?.bytes ?? null
}

/** The bytes of an object and what tells them from others that are put there, or null when it is not there. */
export async function getVersion(
  { client, bucket, prefix }: S3Bucket,
  name: string,
): Promise<{ bytes: Buffer; etag: string } | null> {
  const get = client.send(new GetObjectCommand({ Bucket: bucket, Key: prefix + name }))
  const answer = await unless(isMissing, get, null)
  if (answer === null) return null
  return { bytes: Buffer.from((await answer.Body?.transformToByteArray()) ?? []), etag: answer.ETag ?? '' }
}

export async function putObject({ client, bucket, prefix }: S3Bucket, name: string, body: Uint8Array): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: prefix + name, Body: body }))
}

/**
 * Puts an object in the place of that version only (null: of none); false when another is there. Not every store has conditional
 * writes: one that says so gets the object as it is.
 */
export async function putObjectOver(
  { client, bucket, prefix }: S3Bucket,
  name: string,
  etag: string | null,
  body: Uint8Array,
): Promise<boolean> {
  const object = { Bucket: bucket, Key: prefix + name, Body: body }
  const condition = etag === null ? { IfNoneMatch: '*' } : { IfMatch: etag }
  const conditional = client.send(new PutObjectCommand({ ...object, ...condition }))
  const put = unless(isNotImplemented, conditional, null).then(
    (answer) => answer ?? client.send(new PutObjectCommand(object)),
  )
  return (await unless(isOtherVersion, put, null)) !== null
}

/** How long a link works: time enough for a large file over a slow line to begin, too short to be passed on for long. */
const LINK_SECONDS = 3_600

/** A link by which anybody may get the object for a while. */
export async function linkTo({ client, bucket, prefix }: S3Bucket, name: string): Promise<SignedUrl> {
  const { region, endpoint, credentials } = client.config
  const at = Date.now()
  const place = {
    endpoint: endpoint ? urlOf(await endpoint()) : null,
    region: await region(),
    bucket,
    key: prefix + name,
  }
  return {
    href: signedLink(place, await credentials(), at, LINK_SECONDS),
    expiresAt: at + LINK_SECONDS * 1000,
  }
}

type Endpoint = Awaited<ReturnType<NonNullable<S3Client['config']['endpoint']>>>

function urlOf({ protocol, hostname, port, path }: Endpoint): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`
}

/** Removes objects one by one: not every store has the request for many. Those that are not there count as removed. */
export async function deleteObjects({ client, bucket, prefix }: S3Bucket, names: readonly string[]): Promise<void> {
  await forEachAtOnce(names, (name) => client.send(new DeleteObjectCommand({ Bucket: bucket, Key: prefix + name })))
}

/**
 * Names that begin with `start`, relative to the place: `files`, and with `flat` only up to the next `/`, the rest of the
 * tree being `directories` (without the `/`).
 */
export async function listNames(
  { client, bucket, prefix }: S3Bucket,
  start: string,
  { flat, limit }: { flat: boolean; limit?: number },
): Promise<{ files: string[]; directories: string[] }> {
  const files: string[] = []
  const directories: string[] = []
  let token: string | undefined
  do {
    const page: ListObjectsV2CommandOutput = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix + start,
        ...(flat ? { Delimiter: '/' } : {}),
        ...(limit === undefined ? {} : { MaxKeys: limit }),
        ContinuationToken: token,
      }),
    )
    for (const { Key = '' } of page.Contents ?? []) files.push(Key.slice(prefix.length))
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) directories.push(Prefix.slice(prefix.length, -1))
    token = limit === undefined ? page.NextContinuationToken : undefined
  } while (token !== undefined)
  return { files, directories }
}

/** Does the work on all items, several at once. After a failure nothing new is begun, and nothing goes on unseen. */
export async function forEachAtOnce<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const waiting = [...items]
  const one = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      try {
        await work(item)
      } catch (error) {
        waiting.length = 0
        throw error
      }
    }
  }
  const done = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, items.length) }, one))
  for (const result of done) if (result.status === 'rejected') throw result.reason
}
