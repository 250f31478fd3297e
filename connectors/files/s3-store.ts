// A result directory in an object store: a prefix in a bucket. Parts are multipart uploads to their final names, which no
// reader sees before they are completed; everything else is a small object, written whole.
//
// A directory is an object `.directory` in it. It makes the end of an attempt a fact that late writers cannot overlook:
// whoever removes the directory takes this object away first and the rest after, whoever writes looks for it afterwards
// and takes his own back when it is gone. So one of the two always cleans up, and a lost writer leaves nothing behind.
import { randomUUID } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { ConnectorError } from '../connector.ts'
import { STAGING_ROOT } from './location.ts'
import {
  deleteObjects,
  forEachAtOnce,
  getObject,
  getVersion,
  head,
  linkTo,
  listNames,
  putObject,
  putObjectOver,
  type S3Bucket,
} from './s3-bucket.ts'
import { guarded } from './s3-errors.ts'
import { parseS3Url } from './s3-location.ts'
import { completeUpload, isStaged, withdrawUpload } from './s3-publish.ts'
import { abortUpload, beginUpload, listUploads, probeUpload } from './s3-upload.ts'
import type { FileStore, StagedPart } from './store.ts'

/** `url` is `s3://bucket/prefix/`, as `locate` gives it. The client is the caller's to destroy. */
export function openS3Store(client: S3Client, url: string): FileStore {
  const place = placeOf(client, url)
  const at = <T>(name: string, work: () => Promise<T>) => guarded(url + name, work)
  return {
    location: url,
    requireWritable: () => at('', () => probe(place)),
    link: (name) => at(name, () => linkTo(place, name)),
    createDirectory: (name) => at(name, () => putObject(place, markerOf(name), new Uint8Array(0))),
    list: (directory) => at(directory, () => listFiles(place, directory)),
    directories: (name) => at(name, () => listDirectories(place, name)),
    read: (name) => at(name, () => getObject(place, name)),
    put: (name, bytes) => at(name, () => putInDirectory(place, name, bytes)),
    replace: (name, expected, bytes) => at(name, () => replaceInDirectory(place, name, expected, bytes)),
    remove: (names) => at('', () => deleteObjects(place, names)),
    begin: (name, finalName) =>
      at(name, async () => {
        const file = await beginUpload(place, name, finalName, () => lostUpload(place, name))
        if (await isInDirectory(place, name)) return file
        await file.abort()
        throw directoryGone(place, name)
      }),
    begun: () => at('', () => listUploads(place)),
    forget: (parts) =>
      at('', () => forEachAtOnce(parts, ({ finalName, receipt }) => abortUpload(place, finalName, receipt))),
    missing: (parts) => at('', () => missingParts(place, parts)),
    publish: (parts) => at('', () => forEachAtOnce(parts, (part) => completeUpload(place, part))),
    withdraw: (parts) => at('', () => forEachAtOnce(parts, (part) => withdrawUpload(place, part))),
    removeDirectory: (name) => at(name, () => removeTree(place, name)),
  }
}

function placeOf(client: S3Client, url: string): S3Bucket {
  const place = parseS3Url(url)
  if ('fault' in place) throw new TypeError(`expected the URL of a checked path, got ${url}: ${place.fault}`)
  return { ...place, client }
}

/**
 * Tries what a job will need: a policy that allows writing but not listing would show only at the end. Removing an object
 * is not tried, for in a bucket with versions even that leaves a trace.
 */
async function probe(place: S3Bucket): Promise<void> {
  const name = `${STAGING_ROOT}/check-${randomUUID()}`
  const tries = await Promise.allSettled([
    listNames(place, '', { flat: true, limit: 1 }),
    getObject(place, name),
    probeUpload(place, name),
  ])
  for (const result of tries) if (result.status === 'rejected') throw result.reason
}

async function listFiles(place: S3Bucket, directory: string): Promise<string[]> {
  const start = directory === '' ? '' : `${directory}/`
  const { files } = await listNames(place, start, { flat: true })
  return files
    .map((name) => name.slice(start.length))
    .filter((name) => name !== '' && !name.startsWith('.'))
    .sort()
}

async function listDirectories(place: S3Bucket, name: string): Promise<string[]> {
  const { directories } = await listNames(place, `${name}/`, { flat: true })
  return directories.map((directory) => directory.slice(name.length + 1)).sort()
}

async function putInDirectory(place: S3Bucket, name: string, bytes: Uint8Array): Promise<void> {
  await putObject(place, name, bytes)
  await requireDirectory(place, name)
}

async function replaceInDirectory(
  place: S3Bucket,
  name: string,
  expected: Uint8Array | null,
  bytes: Uint8Array,
): Promise<boolean> {
  const there = await getVersion(place, name)
  const isExpected = there === null || expected === null ? there === expected : there.bytes.equals(expected)
  if (!isExpected || !(await putObjectOver(place, name, there?.etag ?? null, bytes))) return false
  await requireDirectory(place, name)
  return true
}

/** After a write: what has come too late for its directory is taken back. */
async function requireDirectory(place: S3Bucket, name: string): Promise<void> {
  if (await isInDirectory(place, name)) return
  await deleteObjects(place, [name])
  throw directoryGone(place, name)
}

async function missingParts(place: S3Bucket, parts: readonly StagedPart[]): Promise<StagedPart[]> {
  const lost = new Set<StagedPart>()
  await forEachAtOnce(parts, async (part) => {
    if (!(await isStaged(place, part))) lost.add(part)
  })
  return parts.filter((part) => lost.has(part))
}

async function removeTree(place: S3Bucket, name: string): Promise<void> {
  await deleteObjects(place, [markerOf(name)])
  const { files } = await listNames(place, `${name}/`, { flat: false })
  await deleteObjects(place, files)
}

/** An upload that somebody else has aborted: with the attempt, or by itself (a lifecycle rule), and then written again. */
async function lostUpload(place: S3Bucket, name: string): Promise<ConnectorError> {
  if (!(await isInDirectory(place, name))) return directoryGone(place, name)
  const message = `s3://${place.bucket}/${place.prefix}${name}: its upload was aborted by someone else; it begins again`
  return new ConnectorError('upload_lost', message, { retriable: true })
}

function directoryGone(place: S3Bucket, name: string): ConnectorError {
  const url = `s3://${place.bucket}/${place.prefix}${name}`
  const message = `${url}: its directory is gone; was the attempt discarded?`
  return new ConnectorError('not_prepared', message, { retriable: false })
}

/** Whether the file's directory is there; what lies directly in the result's directory needs none. */
async function isInDirectory(place: S3Bucket, name: string): Promise<boolean> {
  const end = name.lastIndexOf('/')
  return end < 0 || (await head(place, markerOf(name.slice(0, end)))) !== null
}

function markerOf(directory: string): string {
  return `${directory}/.directory`
}
