// Signed links against the example of the specification.
import { expect, test } from 'vitest'
import { signedLink } from '../../../connectors/files/s3-link.ts'

const CREDENTIALS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const PLACE = { endpoint: null, region: 'us-east-1', bucket: 'examplebucket', key: 'test.txt' }
const AT = Date.parse('2013-05-24T00:00:00Z')

test('the example of the specification has this signature', () => {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  expect(signedLink(PLACE, CREDENTIALS, AT, 86_400)).toBe(
    'https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  )
})

test.each([
  [{ region: 'eu-central-1' }, 'https://examplebucket.s3.eu-central-1.amazonaws.com/test.txt?'],
  [{ bucket: 'example.bucket' }, 'https://s3.amazonaws.com/example.bucket/test.txt?'],
  [{ endpoint: 'http://store:9000' }, 'http://store:9000/examplebucket/test.txt?'],
  [{ endpoint: 'https://store/s3/', key: "a b/c'(1).csv" }, 'https://store/s3/examplebucket/a%20b/c%27%281%29.csv?'],
])('%j is at %s', (place, start) => {
  expect(signedLink({ ...PLACE, ...place }, CREDENTIALS, AT, 60).startsWith(start)).toBe(true)
})

test('temporary credentials bring their token', () => {
  const link = signedLink(PLACE, { ...CREDENTIALS, sessionToken: 'a/b=' }, AT, 60)
  expect(link).toContain('&X-Amz-Security-Token=a%2Fb%3D&X-Amz-SignedHeaders=host&')
})
