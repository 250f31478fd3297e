// What a reader has to load: everything but the editor, which comes when a query is written.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { beforeAll, expect, test } from 'vitest'
import { buildIfStale } from '../../web/build.ts'

const DIST = join(import.meta.dirname, '../../web/dist')
const LIMIT_BYTES = 150 * 1024

beforeAll(async () => {
  await buildIfStale()
})

test('the dashboard without the editor is under 150 KB gzipped', async () => {
  const files = (await readdir(DIST, { recursive: true })).filter((name) => /\.(js|css|html|svg)$/.test(name))
  const loaded = files.filter((name) => !name.includes('codemirror'))
  const sizes = await Promise.all(loaded.map(async (name) => gzipSync(await readFile(join(DIST, name))).length))
  expect(files.length).toBe(loaded.length + 1)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(LIMIT_BYTES)
})

test('the page names only files of its own, and nothing inline', async () => {
  const page = await readFile(join(DIST, 'index.html'), 'utf8')
  expect(page).not.toMatch(/<script(?![^>]*src="\/assets\/)/)
  expect(page).not.toMatch(/<style|style="|https?:/)
})
