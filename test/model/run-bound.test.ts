// How many rows go into a run, with a real model: 200 KB of inner tensor for each row.
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ModelSession, Tensors } from '../../src/model/model.ts'
import { memoryNow, RunBound } from '../../src/model/run-bound.ts'
import { openSession } from '../../src/model/session.ts'
import { modelBytes } from './fixtures.ts'

const MB = 2 ** 20
const ROW_BYTES = 50_000 * 4
let session: ModelSession

beforeAll(async () => {
  session = await openSession(modelBytes('test/fixtures/models/wide.onnx'))
})
afterAll(() => session.release())

const feeds = (rows: number): Tensors => ({
  x: { type: 'float32', dims: [rows, 2], data: new Float32Array(rows * 2) },
})

/** Runs so many rows as a scorer would; the sizes of the runs. */
async function runAll(
  bound: RunBound,
  rows: number,
  maxBytes: number,
  emptyBytes = memoryNow().rss,
): Promise<number[]> {
  const sizes: number[] = []
  for (let left = rows; left > 0; left -= sizes.at(-1) as number) {
    const size = bound.rows(left, { emptyBytes, maxBytes: emptyBytes + maxBytes })
    await bound.run(size, () => session.run(feeds(size)))
    sizes.push(size)
  }
  return sizes
}

describe('a model that needs 200 KB a row', () => {
  test('is learned in a few runs, and never takes more than the limit', async () => {
    const { rss } = memoryNow()
    const bound = new RunBound(0)
    const sizes = await runAll(bound, 4_000, 200 * MB)
    expect(sizes.slice(0, 2)).toEqual([1, 32])
    expect(Math.max(...sizes)).toBeLessThan((200 * MB) / ROW_BYTES)
    expect(Math.max(...sizes)).toBeGreaterThan(32)
    expect(memoryNow().peak - rss).toBeLessThan(200 * MB)
    // A smaller limit of another job is kept to as well.
    expect(Math.max(...(await runAll(bound, 1_000, 40 * MB)))).toBeLessThan((40 * MB) / ROW_BYTES)
  })

  test('that has no room for one row is refused with what it needs', async () => {
    const fresh = await openSession(modelBytes('test/fixtures/models/wide.onnx'))
    const bound = new RunBound(0)
    await bound.run(1, () => fresh.run(feeds(1)))
    await bound.run(64, () => fresh.run(feeds(64)))
    await fresh.release()
    expect(() => bound.rows(10, { emptyBytes: 200 * MB, maxBytes: 200 * MB + 1000 })).toThrow(
      /config\.max_memory_gb = 0\.195.*0\.20 GB for the worker itself/,
    )
    expect(() => new RunBound(300 * MB).rows(10, { emptyBytes: 0, maxBytes: 256 * MB })).toThrow(
      /0\.29 GB for the model/,
    )
  })
})

test('a model without much to it takes a chunk of 1,000 rows in three runs, once, and then in one', async () => {
  const bound = new RunBound(0)
  const limit = { emptyBytes: 0, maxBytes: 16 * 1024 * MB }
  const sizes: number[] = []
  for (const chunk of [1_000, 1_000, 1_000]) {
    for (let left = chunk; left > 0; left -= sizes.at(-1) as number) {
      sizes.push(bound.rows(left, limit))
      await bound.run(sizes.at(-1) as number, async () => {})
    }
  }
  expect(sizes).toEqual([1, 32, 967, 1_000, 1_000])
})

test('rows that take long go in runs of about a second', async () => {
  const bound = new RunBound(0)
  const limit = { emptyBytes: 0, maxBytes: 16 * 1024 * MB }
  await bound.run(10, async () => {
    // Begun in here: what passes before is not the run's, which is to take no less than this.
    const started = performance.now()
    while (performance.now() - started < 200);
  })
  const rows = bound.rows(100_000, limit)
  expect(rows).toBeGreaterThan(10)
  expect(rows).toBeLessThanOrEqual(50)
})

test('what another lane takes meanwhile is not charged to a model', async () => {
  const [heavy, light] = [new RunBound(0), new RunBound(0)]
  // A run begins in a later turn of the event loop, as those of ONNX Runtime do.
  const ballast = heavy.run(1, async () => {
    await setImmediate()
    return Buffer.alloc(400 * MB, 1)
  })
  await light.run(1, () => setImmediate())
  expect((await ballast).length).toBe(400 * MB)
  const limit = { emptyBytes: 0, maxBytes: 256 * MB }
  expect(light.rows(10, limit)).toBe(10)
  expect(() => heavy.rows(10, limit)).toThrow(/for each row/)
})
