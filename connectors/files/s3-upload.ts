// A part as a multipart upload to its final name: readers see nothing of it until it is completed, and what was uploaded
// survives the process that did it. Memory is bounded by two pieces, whatever the part's size.
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type ListPartsCommandOutput,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { ConnectorError } from '../connector.ts'
import type { S3Bucket } from './s3-bucket.ts'
import { guarded, isUploadGone, unless } from './s3-errors.ts'
import type { BegunPart, PartFile, StagedPart } from './store.ts'

/** What completes an upload. It lies, as JSON, in the part's record. */
export interface Receipt {
  readonly uploadId: string
  /** Of the pieces, in order. */
  readonly etags: readonly string[]
}

/** All pieces but the last have one size (some stores insist), at least 5 MiB (all do). */
const PIECE_BYTES = 8 * 1024 ** 2
const MAX_PIECES = 10_000

/** Giving up must not take as long as the request that failed. */
const ABORT_TIMEOUT_MS = 5_000

/**
 * The object's metadata say which part it is. An ETag would not do: that of a multipart upload differs between stores and
 * kinds of encryption, while the same part of the same attempt has the same bytes by whichever upload it came.
 */
export const PART_METADATA = 'scoreline-part'

/** Begins an upload. `lost` gives the error for an upload that somebody else has aborted. */
export async function beginUpload(
  place: S3Bucket,
  name: string,
  finalName: string,
  lost: () => Promise<ConnectorError>,
): Promise<PartFile> {
  const target = { Bucket: place.bucket, Key: place.prefix + finalName }
  const url = `s3://${target.Bucket}/${target.Key}`
  const { UploadId: uploadId = '' } = await guarded(url, () =>
    place.client.send(new CreateMultipartUploadCommand({ ...target, Metadata: { [PART_METADATA]: name } })),
  )
  const stop = new AbortController()
  const etags: string[] = []
  let piece: Buffer = Buffer.alloc(0)
  let filled = 0
  let spare: Buffer | null = null
  /** The piece on its way, if any. It never rejects unheard: whoever sends the next one, or commits, waits for it. */
  let inFlight: Promise<void> = Promise.resolve()
  let committed = false

  async function upload(body: Buffer, number: number): Promise<void> {
    if (number > MAX_PIECES) {
      const advice = 'lower output.target_file_mb or config.batch_size'
      const message = `${url}: a file of more than ${(MAX_PIECES * PIECE_BYTES) / 1e9} GB; ${advice}`
      throw new ConnectorError('part_too_large', message, { retriable: false })
    }
    const command = new UploadPartCommand({ ...target, UploadId: uploadId, PartNumber: number, Body: body })
    const sent = place.client.send(command, { abortSignal: stop.signal })
    const answer = await guarded(url, () => unless(isUploadGone, sent, null))
    if (answer === null) throw await lost()
    etags[number - 1] = answer.ETag ?? ''
  }

  /** Sends what is filled, once the piece before it has arrived: so at most one is on its way while the next is filled. */
  async function send(number: number): Promise<void> {
    await inFlight
    const full = piece
    const body = full.subarray(0, filled)
    inFlight = upload(body, number).then(() => {
      spare = full
    })
    inFlight.catch(() => {})
    piece = spare ?? Buffer.alloc(0)
    spare = null
    filled = 0
  }

  let pieces = 0
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.length; ) {
        const count = Math.min(PIECE_BYTES - filled, bytes.length - at)
        piece = withRoom(piece, filled, filled + count)
        piece.set(bytes.subarray(at, at + count), filled)
        filled += count
        at += count
        if (filled === PIECE_BYTES) await send(++pieces)
      }
    },
    commit: async () => {
      if (filled > 0 || pieces === 0) await send(++pieces)
      await inFlight
      committed = true
      return JSON.stringify({ uploadId, etags } satisfies Receipt)
    },
    abort: async () => {
      // A record may already name the upload, although nobody heard that it was written; else it is swept as stale.
      if (committed) return
      stop.abort()
      await inFlight.catch(() => {})
      await abortUpload(place, finalName, uploadId, AbortSignal.timeout(ABORT_TIMEOUT_MS)).catch(() => {})
    },
  }
}

/** The buffer, or a larger one with the same beginning: small parts need no whole piece. */
function withRoom(buffer: Buffer, filled: number, needed: number): Buffer {
  if (needed <= buffer.length) return buffer
  const larger = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, Math.max(needed, 2 * buffer.length, 64 * 1024)))
  buffer.copy(larger, 0, 0, filled)
  return larger
}

/** Aborts an upload; false when it is not there (any more). */
export async function abortUpload(
  { client, bucket, prefix }: S3Bucket,
  finalName: string,
  uploadId: string,
  abortSignal?: AbortSignal,
): Promise<boolean> {
  const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: prefix + finalName, UploadId: uploadId })
  const sent = client.send(command, abortSignal === undefined ? {} : { abortSignal })
  return (await unless(isUploadGone, sent, null)) !== null
}

/** All uploads under the place that were begun and neither completed nor aborted. The receipt is the upload's id. */
export async function listUploads({ client, bucket, prefix }: S3Bucket): Promise<BegunPart[]> {
  const found: BegunPart[] = []
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {}
  while (marker !== null) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker }),
    )
    for (const { Key = '', UploadId = '' } of page.Uploads ?? [])
      found.push({ finalName: Key.slice(prefix.length), receipt: UploadId })
    const { NextKeyMarker, NextUploadIdMarker } = page
    marker =
      page.IsTruncated && NextKeyMarker !== undefined
        ? { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker ? { UploadIdMarker: NextUploadIdMarker } : {}) }
        : null
  }
  return found
}

/** Begins an upload that no reader ever sees, and aborts it: whether the service may do what parts need. */
export async function probeUpload(place: S3Bucket, name: string): Promise<void> {
  const target = { Bucket: place.bucket, Key: place.prefix + name }
  const { UploadId: uploadId = '' } = await place.client.send(new CreateMultipartUploadCommand(target))
  const look = async () => {
    const receipt = JSON.stringify({ uploadId, etags: [] } satisfies Receipt)
    await uploadedBytes(place, { name, finalName: name, receipt, bytes: 0 })
    return listUploads({ ...place, prefix: target.Key })
  }
  const begun = await look().finally(() => abortUpload(place, name, uploadId))
  // The SDK repeats a request whose answer is lost: then there are two.
  for (const { receipt } of begun) await abortUpload(place, name, receipt)
}

/** Bytes of the pieces that the receipt names, or null when one of them or the upload is not there. */
export async function uploadedBytes({ client, bucket, prefix }: S3Bucket, part: StagedPart): Promise<number | null> {
  const { uploadId, etags } = JSON.parse(part.receipt) as Receipt
  const target = { Bucket: bucket, Key: prefix + part.finalName, UploadId: uploadId }
  let bytes = 0
  let marker: string | undefined
  let count = 0
  do {
    const list = client.send(new ListPartsCommand({ ...target, PartNumberMarker: marker }))
    const page: ListPartsCommandOutput | null = await unless(isUploadGone, list, null)
    if (page === null) return null
    for (const { PartNumber = 0, ETag, Size = 0 } of page.Parts ?? []) {
      if (etags[PartNumber - 1] !== ETag) return null
      bytes += Size
      count++
    }
    marker = page.IsTruncated ? page.NextPartNumberMarker : undefined
  } while (marker !== undefined)
  return count === etags.length ? bytes : null
}
