// From `output.path` to a place in a bucket that the service may write. Pure: an object store has no links and no `..`,
// so the text is all there is to check; what a reader might take for another path is refused rather than resolved.

/** A bucket and a prefix in it: empty, or ending in `/`. */
export interface S3Place {
  readonly bucket: string
  readonly prefix: string
}

/** Keys may have 1,024 bytes; what is put under the prefix (staging records of a long job id) needs the rest. */
const MAX_PREFIX_BYTES = 700

export function isS3Url(path: string): boolean {
  return /^s3:\/\//i.test(path)
}

/** Whether a path means a place below the first root, which then may be one in a store. */
export function isRelative(path: string): boolean {
  return !path.startsWith('/') && !/^[a-z][a-z0-9+.-]*:/i.test(path)
}

/** The place that an `s3://bucket/prefix/` URL names; or why it is none. */
export function parseS3Url(url: string): S3Place | { readonly fault: string } {
  const [bucket = '', ...segments] = url.slice('s3://'.length).split('/')
  const fault = bucketFault(bucket)
  if (fault !== null) return { fault }
  if (segments.at(-1) === '') segments.pop()
  const wrong = segments.map(segmentFault).find((found) => found !== null)
  if (wrong !== undefined) return { fault: wrong }
  const prefix = segments.map((segment) => `${segment}/`).join('')
  if (Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) return { fault: `expected at most ${MAX_PREFIX_BYTES} bytes` }
  return { bucket, prefix }
}

/** The place as a URL that ends in `/`, if it is under one of the roots, segment by segment; or why not. */
export function locateS3(url: string, roots: readonly string[]): { readonly url: string } | { readonly fault: string } {
  const place = parseS3Url(url)
  if ('fault' in place) return place
  const allowed = roots.filter(isS3Url).map(parseS3Url)
  // Prefixes end in `/` (or are empty), so that `results/` is no root of `results-of-others/`.
  const isUnder = (root: S3Place) => root.bucket === place.bucket && place.prefix.startsWith(root.prefix)
  if (!allowed.some((root) => !('fault' in root) && isUnder(root)))
    return { fault: 'it is outside of the allowed roots' }
  return { url: `s3://${place.bucket}/${place.prefix}` }
}

function bucketFault(bucket: string): string | null {
  const plain = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) && !bucket.includes('..')
  if (plain && !/^\d+\.\d+\.\d+\.\d+$/.test(bucket)) return null
  return 'expected s3://bucket/prefix/ with a bucket of 3 to 63 small letters, digits, dots or hyphens'
}

function segmentFault(segment: string): string | null {
  if (segment === '') return 'expected no empty segment (//)'
  if (segment === '.' || segment === '..') return 'expected no . or .. segment'
  // A key may hold any of these, but readers disagree on what they mean in a URL.
  if (/[%?#*\\]/.test(segment)) return 'expected no %, ?, #, * or backslash: the path is taken as it is, not decoded'
  if (/\p{Cc}/u.test(segment) || !segment.isWellFormed()) return 'expected no control characters'
  return null
}
