// What is due, told by a heap as a look at everything would tell it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DueTimes } from '../../src/controller/due-times.ts'

const anyStep = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
  at: fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 20 })),
  look: fc.boolean(),
  passed: fc.integer({ min: 0, max: 4 }),
})

test('whatever is set, replaced and taken back: due is what a look at each finds, the longest due first', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
      const times = new DueTimes()
      const known = new Map<string, number>()
      let now = 0
      for (const { id, at, look, passed } of steps) {
        times.set(id, at)
        if (at === null) known.delete(id)
        else known.set(id, at)
        now += passed
        if (look)
          expect(times.due(now).sort()).toEqual([...known].flatMap(([each, due]) => (due <= now ? [each] : [])).sort())
      }
      const last = new DueTimes()
      for (const [id, at] of known) last.set(id, at)
      const inOrder = last.due(20).map((id) => known.get(id))
      expect(inOrder).toEqual([...known.values()].sort((a, b) => (a as number) - (b as number)))
    }),
  )
})

test('what is due stays so until it gets another time', () => {
  const times = new DueTimes()
  times.set('job', 5)
  expect([times.due(4), times.due(5), times.due(6)]).toEqual([[], ['job'], ['job']])
  times.set('job', 5)
  expect(times.due(6)).toEqual(['job'])
  times.set('job', 8)
  expect([times.due(7), times.due(8)]).toEqual([[], ['job']])
  times.set('job', null)
  expect(times.due(9)).toEqual([])
})
