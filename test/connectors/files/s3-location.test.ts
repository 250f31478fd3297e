// Which `s3://` paths a request may name: only plain ones, under a root, segment by segment.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { locate } from '../../../connectors/files/location.ts'

const ROOTS = ['file:///srv/out/', 's3://warehouse/results/', 's3://open-bucket/']

const located = async (path: string, roots = ROOTS) => {
  const found = await locate(path, roots)
  return 'directory' in found ? found.directory : found.problem.code
}

describe('locate', () => {
  test.each([
    ['s3://warehouse/results/', 's3://warehouse/results/'],
    ['s3://warehouse/results', 's3://warehouse/results/'],
    ['s3://warehouse/results/churn/2026-01-01/', 's3://warehouse/results/churn/2026-01-01/'],
    ['S3://warehouse/results/year=2026/a b', 's3://warehouse/results/year=2026/a b/'],
    ['s3://open-bucket', 's3://open-bucket/'],
    ['s3://open-bucket/größe/', 's3://open-bucket/größe/'],
  ])('%s', async (path, url) => {
    expect(await located(path)).toBe(url)
  })

  test.each([
    // Outside of the roots, however much it looks like one of them.
    's3://warehouse/',
    's3://warehouse/result/',
    's3://warehouse/results-of-others/x/',
    's3://warehouse2/results/x/',
    's3://other-bucket/results/x/',
    's3://warehouse/Results/x/',
    // What a reader may take for another path.
    's3://warehouse/results/../secrets/',
    's3://warehouse/results/./x/',
    's3://warehouse/results/..',
    's3://warehouse/results/%2e%2e/secrets/',
    's3://warehouse/results/%2E./secrets/',
    's3://warehouse/results/a%2fb/',
    's3://warehouse/results/%252e%252e/',
    's3://warehouse/results//x/',
    's3://warehouse//results/x/',
    's3://warehouse/results/x//',
    's3://warehouse/results/a\\b/',
    's3://warehouse/results/x?versionId=1',
    's3://warehouse/results/x#y',
    's3://warehouse/results/*/',
    's3://warehouse/results/a\nb/',
    's3://warehouse/results/a\0b/',
    's3://warehouse/results/a\u0085b/',
    's3://warehouse/results/\ud800/',
    `s3://warehouse/results/${'x'.repeat(800)}/`,
    // The service's own.
    's3://warehouse/results/_scoreline/',
    's3://warehouse/results/x/_scoreline/batch-a/1/',
    // No bucket's name.
    's3://',
    's3:///results/',
    's3://ab/results/',
    's3://Warehouse/results/',
    's3://ware_house/results/',
    's3://-warehouse/results/',
    's3://ware..house/results/',
    's3://127.0.0.1/results/',
    's3://key:secret@warehouse/results/',
    's3://warehouse:9000/results/',
    's3a://warehouse/results/x/',
    'https://warehouse.s3.amazonaws.com/results/x/',
  ])('refuses %j', async (path) => {
    expect(await located(path)).toBe('path_not_allowed')
  })

  test('says what was expected, and the roots', async () => {
    const found = await locate('s3://warehouse/elsewhere/', ROOTS)
    expect(found).toMatchObject({
      problem: { pointer: '/output/path', detail: expect.stringContaining(ROOTS.join(', ')) },
    })
  })

  test('a root that is not on disk takes relative paths as well, when it is the first', async () => {
    expect(await located('churn/', ['s3://warehouse/results/'])).toBe('s3://warehouse/results/churn/')
    expect(await located('../churn/', ['s3://warehouse/results/'])).toBe('path_not_allowed')
    expect(await located('/srv/out/churn', ['s3://warehouse/results/'])).toBe('path_not_allowed')
    expect(await located('churn', ['file:///srv/out/', 's3://warehouse/results/'])).toBe('/srv/out/churn')
    expect(await located('s3://warehouse/results/x/', ['file:///srv/out/'])).toBe('path_not_allowed')
  })

  test('whatever is accepted lies under a root and has only plain segments', async () => {
    const segment = fc.oneof(fc.constantFrom('..', '.', '', '_scoreline', '%2e', 'results', 'a'), fc.string())
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('warehouse', 'other', 'open-bucket'),
        fc.array(segment),
        async (bucket, parts) => {
          const url = await located(`s3://${bucket}/${parts.join('/')}`)
          if (url === 'path_not_allowed') return
          expect(ROOTS.some((root) => url.startsWith(root))).toBe(true)
          const inside = url.slice('s3://'.length, -1).split('/')
          for (const plain of inside) expect(plain).not.toMatch(/^(|\.|\.\.|_scoreline)$|%|\p{Cc}/u)
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
