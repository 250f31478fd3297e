// Which offset may be committed while records are worked on side by side.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OpenOffsets } from '../../src/reader/open-offsets.ts'

test('one record after another commits the next offset', () => {
  const offsets = new OpenOffsets()
  offsets.open(7n)
  expect(offsets.close(7n)).toBe(8n)
  offsets.open(11n)
  expect(offsets.close(11n)).toBe(12n)
})

test('a record that takes long holds the commit back, and its end lets it go on', () => {
  const offsets = new OpenOffsets()
  for (const offset of [5n, 6n, 9n]) offsets.open(offset)
  expect(offsets.close(6n)).toBe(5n)
  expect(offsets.close(9n)).toBe(5n)
  expect(offsets.close(5n)).toBe(10n)
})

test('in any order of ends, no open record is ever committed past, and every finished prefix is', () => {
  // Compaction leaves holes between offsets.
  const gaps = fc.array(fc.tuple(fc.bigInt({ min: 1n, max: 4n }), fc.array(fc.nat(), { maxLength: 3 })), {
    maxLength: 30,
  })
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 1n << 60n }), gaps, (start, steps) => {
      const offsets = new OpenOffsets()
      const open: bigint[] = []
      let last = start
      let committed = 0n
      const closeOne = (pick: number): void => {
        const [offset] = open.splice(pick % open.length, 1)
        if (offset === undefined) return
        const commit = offsets.close(offset)
        expect(commit).toBe(open[0] ?? last + 1n)
        expect(commit).toBeGreaterThanOrEqual(committed)
        committed = commit
      }
      for (const [gap, picks] of steps) {
        last += gap
        offsets.open(last)
        open.push(last)
        for (const pick of picks) if (open.length) closeOne(pick)
      }
      while (open.length) closeOne(0)
      if (steps.length) expect(committed).toBe(last + 1n)
    }),
  )
})
