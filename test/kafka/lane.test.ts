// A lane's queue: what a take has, and what it waits for.
import { expect, test } from 'vitest'
import { Lane, type LaneRecord } from '../../src/kafka/lane.ts'

const FEED = {
  pause() {},
  resume() {},
  seek() {},
  commit: async () => {},
  committed: async () => null,
}

function record(offset: number, bytes: number, type = 'chunk'): LaneRecord {
  return { offset: BigInt(offset), key: null, value: Buffer.alloc(bytes), headers: { type: Buffer.from(type) } }
}

const isEnd = ({ headers }: LaneRecord) => headers.type?.toString() === 'end'
const FOR_EVER = { until: Number.POSITIVE_INFINITY, last: isEnd }

/** The offsets of a take, or `waiting` when nothing that has happened so far lets it end. */
async function offsets(taking: Promise<LaneRecord[] | null>): Promise<bigint[] | null | 'waiting'> {
  const turn = new Promise<'waiting'>((resolve) => setImmediate(() => resolve('waiting')))
  const taken = await Promise.race([taking, turn])
  return Array.isArray(taken) ? taken.map(({ offset }) => offset) : taken
}

test('a take has what is there, up to its bytes, and at least one record', async () => {
  const lane = new Lane('t', 0, FEED)
  lane.push([record(0, 50), record(1, 60), record(2, 500), record(3, 1)])
  expect(await offsets(lane.next(110))).toEqual([0n, 1n])
  expect(await offsets(lane.next(110))).toEqual([2n])
  expect(await offsets(lane.next())).toEqual([3n])
  const taking = lane.next()
  expect(await offsets(taking)).toBe('waiting')
  lane.push([record(4, 1)])
  expect(await offsets(taking)).toEqual([4n])
})

test('a patient take waits for its bytes, for an end or for its time', async () => {
  const lane = new Lane('t', 0, FEED)
  const full = lane.next(100, FOR_EVER)
  lane.push([record(0, 60)])
  expect(await offsets(full)).toBe('waiting')
  lane.push([record(1, 60)])
  expect(await offsets(full)).toEqual([0n])

  const ended = lane.next(100, FOR_EVER)
  expect(await offsets(ended)).toBe('waiting')
  lane.push([record(2, 0, 'end'), record(3, 10)])
  expect(await offsets(ended)).toEqual([1n, 2n, 3n])

  lane.push([record(4, 1)])
  expect(await offsets(lane.next(100, { ...FOR_EVER, until: performance.now() }))).toEqual([4n])
  lane.push([record(5, 1)])
  const taken = await lane.next(100, { ...FOR_EVER, until: performance.now() + 20 })
  expect(taken?.map(({ offset }) => offset)).toEqual([5n])
})

test('a patient take ends with its lane', async () => {
  for (const end of ['revoke', 'drain'] as const) {
    const lane = new Lane('t', 0, FEED)
    lane.push([record(0, 1)])
    const taking = lane.next(100, FOR_EVER)
    expect(await offsets(taking)).toBe('waiting')
    lane[end]()
    expect(await offsets(taking)).toBeNull()
  }
})
