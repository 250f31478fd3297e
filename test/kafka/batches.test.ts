// What is sent at once is no more for a partition than a broker takes, in the order that it was given in.
import { describe, expect, test } from 'vitest'
import { inBatches } from '../../src/kafka/batches.ts'
import type { OutgoingRecord } from '../../src/kafka/producer.ts'
import { chunksTopics } from '../../topics/chunks.ts'
import { deadLettersTopic } from '../../topics/dead-letters.ts'
import { jobsTopic } from '../../topics/jobs.ts'

const record = (key: string, bytes: number, partition = 0, topic = jobsTopic): OutgoingRecord => ({
  topic,
  partition,
  key,
  value: Buffer.alloc(bytes),
})
const keys = (batches: OutgoingRecord[][]) => batches.map((batch) => batch.map(({ key }) => key).join(''))

describe('records in batches', () => {
  test('what fits stays together, and nothing is nothing', () => {
    expect(keys(inBatches([record('a', 400_000), record('b', 400_000)]))).toEqual(['ab'])
    expect(inBatches([])).toEqual([])
  })

  test('a partition gets no more than so much at once, all in order', () => {
    const batches = inBatches('abcdefgh'.split('').map((key) => record(key, 400_000)))
    expect(keys(batches)).toEqual(['ab', 'cd', 'ef', 'gh'])
  })

  test('the size of a tombstone, a key and headers counts', () => {
    const tombstones = Array.from({ length: 20_000 }, (_, i) => ({ ...record(`batch-${i}`, 0), value: null }))
    expect(inBatches(tombstones).length).toBeGreaterThan(1)
    const headers = { 'scoreline-signature': 'x'.repeat(800_000) }
    expect(inBatches([record('a', 200_000), { ...record('b', 0), headers }])).toHaveLength(2)
  })

  test('each partition of each topic has its own batch', () => {
    const apart = [record('a', 800_000), record('b', 800_000, 1), record('c', 800_000, 0, deadLettersTopic)]
    expect(keys(inBatches(apart))).toEqual(['abc'])
  })

  test('a lane takes larger ones', () => {
    const lane = [record('a', 8_000_000, 3, chunksTopics.cpu), record('b', 7_000_000, 3, chunksTopics.cpu)]
    expect(keys(inBatches(lane))).toEqual(['ab'])
    expect(keys(inBatches([...lane, record('c', 2_000_000, 3, chunksTopics.cpu)]))).toEqual(['ab', 'c'])
  })

  test('a record that is larger by itself goes, with nothing of its partition', () => {
    expect(keys(inBatches([record('a', 10), record('b', 2_000_000), record('c', 10)]))).toEqual(['a', 'b', 'c'])
  })
})
