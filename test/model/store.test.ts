// The model store: what is put comes back, what is damaged or gone is said to be.
import { mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openModelStore } from '../../src/model/store.ts'
import { modelBytes } from './fixtures.ts'

const bytes = modelBytes('test/fixtures/models/linear.onnx')
let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'model-store-'))
})
afterAll(() => rm(root, { recursive: true }))

test('bytes come back by location and hash, also through a file:// URL', async () => {
  const directory = join(root, 'round-trip')
  const stored = await (await openModelStore(directory)).put(bytes)
  const again = await (await openModelStore(pathToFileURL(directory).href)).get(stored.location, stored.sha256)
  expect(Buffer.from(again).equals(bytes)).toBe(true)
  expect(stored.sha256).toMatch(/^[0-9a-f]{64}$/)
})

test('putting the same bytes again, or at the same time, leaves one file', async () => {
  const directory = join(root, 'idempotent')
  const store = await openModelStore(directory)
  const stored = await Promise.all(Array.from({ length: 5 }, () => store.put(bytes)))
  expect(new Set(stored.map(({ location }) => location)).size).toBe(1)
  expect(await readdir(directory)).toEqual([stored[0]?.location])
})

test('damaged bytes are model_corrupt until they are put again', async () => {
  const directory = join(root, 'damaged')
  const store = await openModelStore(directory)
  const { location, sha256 } = await store.put(bytes)
  await writeFile(join(directory, location), bytes.subarray(0, 10))
  await expect(store.get(location, sha256)).rejects.toMatchObject({
    code: 'model_corrupt',
    message: expect.stringContaining(`expected sha256 ${sha256}`),
  })
  await store.put(bytes)
  expect((await store.get(location, sha256)).length).toBe(bytes.length)
})

test('a model that is not there is model_missing, and no location leads out of the store', async () => {
  const store = await openModelStore(join(root, 'missing'))
  await store.put(bytes)
  const sha256 = '0'.repeat(64)
  for (const location of [`${sha256}.onnx`, '../damaged/x', '/etc/passwd', '']) {
    await expect(store.get(location, sha256)).rejects.toMatchObject({ code: 'model_missing' })
  }
})

test('a store that does not answer, or is empty like a volume that is not mounted, is model_store_unavailable', async () => {
  const directory = join(root, 'away')
  const store = await openModelStore(directory)
  const { location, sha256 } = await store.put(bytes)
  const unavailable = { code: 'model_store_unavailable', message: expect.stringContaining(directory) }
  await rename(directory, `${directory}.moved`)
  await expect(store.get(location, sha256)).rejects.toMatchObject(unavailable)
  await expect(store.put(bytes)).rejects.toMatchObject(unavailable)
  await mkdir(directory)
  await expect(store.get(location, sha256)).rejects.toMatchObject(unavailable)
  await rmdir(directory)
  await rename(`${directory}.moved`, directory)
  expect(Buffer.from(await store.get(location, sha256)).equals(bytes)).toBe(true)
})

test('an S3 root says that it is not supported yet', async () => {
  await expect(openModelStore('s3://bucket/models/')).rejects.toMatchObject({
    code: 'model_store_unsupported',
    message: expect.stringContaining('s3://'),
  })
})
