// From a whole upload to an object that readers see, and back. Controllers may do this at the same time, or after one that has died
// while the store was still at work for it.
import { CompleteMultipartUploadCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3'
import { ConnectorError } from '../connector.ts'
import { deleteObjects, head, type S3Bucket } from './s3-bucket.ts'
import { isUploadUnusable, unless } from './s3-errors.ts'
import { abortUpload, PART_METADATA, type Receipt, uploadedBytes } from './s3-upload.ts'
import type { StagedPart } from './store.ts'

/** How long the store may take between saying that an upload is completed and showing the object. */
const VISIBLE_MS = 30_000
const VISIBLE_EVERY_MS = 50

/** Makes the part visible, unless that was done before; when it resolves, it is. */
export async function completeUpload(place: S3Bucket, part: StagedPart): Promise<void> {
  if (await completed(place, part)) return
  const message = `s3://${place.bucket}/${place.prefix}${part.finalName}: its upload is gone and the object is not there; was it aborted by a lifecycle rule?`
  throw new ConnectorError('rows_lost', message, { retriable: false })
}

/** Whether the part is there in full, uploaded or completed; one that somebody else is just completing is, once it is done. */
export async function isStaged(place: S3Bucket, part: StagedPart): Promise<boolean> {
  if (part.receipt === '') return (await head(place, part.finalName))?.ContentLength === part.bytes
  const uploaded = await uploadedBytes(place, part)
  if (uploaded !== null) return uploaded === part.bytes
  return wasCompleted(place, part)
}

/**
 * Whether an upload that is not there any more has become an object. Under the final name there may also be another attempt's part,
 * which is neither a proof nor ours to take.
 */
async function wasCompleted(place: S3Bucket, part: StagedPart): Promise<boolean> {
  const object = await head(place, part.finalName)
  return object === null ? completed(place, part) : isObjectOf(part, object)
}

/**
 * Completes the upload; false when it is lost. This alone tells an upload that is lost from one that is being completed, by a
 * request of another controller or of one that has died: in between it may be neither among the uploads nor an object yet
 * (versitygw, which moves it aside while it puts the pieces together), and S3 promises nothing of that time, which "could take
 * several minutes". What the store does with completions, it does one after the other; but its answer may come before the object
 * of the one that is under way (versitygw again), so only the object counts.
 */
async function completed(place: S3Bucket, part: StagedPart): Promise<boolean> {
  const { uploadId, etags } = JSON.parse(part.receipt) as Receipt
  const command = new CompleteMultipartUploadCommand({
    Bucket: place.bucket,
    Key: place.prefix + part.finalName,
    UploadId: uploadId,
    MultipartUpload: { Parts: etags.map((ETag, i) => ({ ETag, PartNumber: i + 1 })) },
  })
  const deadline = Date.now() + VISIBLE_MS
  for (;;) {
    const answer = await unless(isUploadUnusable, place.client.send(command), null)
    if (await isPublished(place, part)) return true
    // Whoever was completing it may have failed meanwhile, and then it is an upload again.
    if (answer === null && (await uploadedBytes(place, part)) !== part.bytes) return false
    if (Date.now() > deadline) {
      const message = `s3://${command.input.Bucket}/${command.input.Key}: the store has been completing it for ${VISIBLE_MS / 1000} s`
      throw new ConnectorError('store_unavailable', message, { retriable: true })
    }
    await new Promise((resolve) => setTimeout(resolve, VISIBLE_EVERY_MS))
  }
}

/** Takes the part back, from wherever it has got to. */
export async function withdrawUpload(place: S3Bucket, part: StagedPart): Promise<void> {
  const { uploadId } = JSON.parse(part.receipt) as Receipt
  const aborted = await abortUpload(place, part.finalName, uploadId)
  // What could not be aborted may be just being completed; its object must not come after this.
  const published = await (aborted ? isPublished(place, part) : wasCompleted(place, part))
  if (published) await deleteObjects(place, [part.finalName])
}

async function isPublished(place: S3Bucket, part: StagedPart): Promise<boolean> {
  return isObjectOf(part, await head(place, part.finalName))
}

function isObjectOf(part: StagedPart, object: HeadObjectCommandOutput | null): boolean {
  return object?.ContentLength === part.bytes && object.Metadata?.[PART_METADATA] === part.name
}
