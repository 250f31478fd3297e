// What goes wrong between the service and an object store, in the words of a `ConnectorError`: is it worth trying again,
// and what can somebody do about it? The SDK has tried a few times already when an error arrives here.
import { ConnectorError } from '../connector.ts'

/** What is known of an error of the SDK: answers have a status, connections a code, both a name. */
interface SdkError extends Error {
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

const BUSY = ['SlowDown', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'RequestTimeout', 'TimeoutError']
const NETWORK = [
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]
/** Passing: a token is renewed, a clock is set, an instance's metadata service answers again. */
const CREDENTIALS = ['CredentialsProviderError', 'ExpiredToken', 'ExpiredTokenException', 'RequestTimeTooSkewed']
const WRONG_REGION = ['PermanentRedirect', 'AuthorizationHeaderMalformed', 'IllegalLocationConstraintException']

/** Runs a request; its failure comes out as a `ConnectorError`, anything that is none of the store's as it is. */
export async function guarded<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(url, error)
  }
}

function storeError(url: string, error: unknown): unknown {
  if (error instanceof ConnectorError || !(error instanceof Error)) return error
  const { name, code, message, $metadata } = error as SdkError
  const status = $metadata?.httpStatusCode ?? 0
  const fault = (problem: string, advice: string, retriable: boolean) =>
    new ConnectorError(problem, `${url}: ${advice} (${name}: ${message})`, { retriable, cause: error })
  if (name === 'NoSuchBucket') return fault('bucket_not_found', 'there is no such bucket; create it first', false)
  if (WRONG_REGION.includes(name) || status === 301)
    return fault('wrong_region', 'the bucket is in another region; set S3_REGION to it', false)
  if (CREDENTIALS.includes(name))
    return fault('no_credentials', 'the service has no valid AWS credentials; set them in its environment', true)
  if (isForbidden(error)) return fault('path_not_writable', 'the service may not read and write there', false)
  if (BUSY.includes(name) || NETWORK.includes(code ?? '') || status === 429 || (status >= 500 && status !== 501))
    return fault('store_unavailable', 'the store does not answer', true)
  // Without a status and a code it never was an answer of the store, but a fault of the program.
  return status === 0 && code === undefined ? error : fault('store_failed', 'the store refused', false)
}

/** An answer to HEAD has no body, so its status is all there is. */
export function isMissing(error: unknown): boolean {
  const { name, $metadata } = error as SdkError
  return name === 'NoSuchKey' || (name === 'NotFound' && $metadata?.httpStatusCode === 404)
}

export function isUploadGone(error: unknown): boolean {
  return (error as SdkError).name === 'NoSuchUpload'
}

/** An upload that cannot be completed: it is not there, or not all of its pieces are. */
export function isUploadUnusable(error: unknown): boolean {
  return isUploadGone(error) || (error as SdkError).name === 'InvalidPart'
}

/** A conditional write that came second: the object is another one, is gone, or somebody else is just writing it. */
export function isOtherVersion(error: unknown): boolean {
  const status = (error as SdkError).$metadata?.httpStatusCode
  return status === 412 || status === 409 || isMissing(error)
}

export function isNotImplemented(error: unknown): boolean {
  return (error as SdkError).$metadata?.httpStatusCode === 501
}

function isForbidden(error: Error): boolean {
  return (error as SdkError).$metadata?.httpStatusCode === 403
}

/** `otherwise` for a request whose error is the expected one. */
export async function unless<T, U>(is: (error: unknown) => boolean, work: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await work
  } catch (error) {
    if (is(error)) return otherwise
    throw error
  }
}
