// Who a job is: the same request always gets the same id and hash, another one never.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jobIdOfFiring, jobIdOfKey, jobIdOfRecord, requestHash, scheduleIdOf } from '../../src/job/identity.ts'

const JOB_ID = /^batch-[0-9a-f]{20}$/

/** The same JSON value with the keys of every object in another order. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, entry]) => [key, reordered(entry)]),
  )
}

const anyJson = fc.json({ maxDepth: 4 }).map((text) => JSON.parse(text) as unknown)

test('the hash does not see the order of keys, at any depth', () => {
  fc.assert(fc.property(anyJson, (body) => requestHash(reordered(body)) === requestHash(body)))
  expect(requestHash({ a: 1, b: { c: [1, 2], d: null } })).toBe(requestHash({ b: { d: null, c: [1, 2] }, a: 1 }))
})

test('the hash does not see how the JSON was written', () => {
  const written = JSON.parse('{ "batch_size" : 1e3, "name":"\\u0061" }')
  expect(requestHash(written)).toBe(requestHash({ name: 'a', batch_size: 1000 }))
})

test('bodies that differ have different hashes', () => {
  fc.assert(
    fc.property(anyJson, anyJson, (a, b) => {
      const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
      expect(requestHash(a) === requestHash(b)).toBe(same)
    }),
  )
})

test.each([
  [{ a: [1, 2] }, { a: [2, 1] }],
  [{ a: 1 }, { a: '1' }],
  [{ a: null }, {}],
  [{ a: {} }, { a: [] }],
  [{ 'a":1,"b': 2 }, { a: 1, b: 2 }],
  [[], {}],
])('%j is another body than %j', (a, b) => {
  expect(requestHash(a)).not.toBe(requestHash(b))
})

test('a job id follows from tenant and key, and from nothing else', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (tenant, key, otherTenant, otherKey) => {
      const id = jobIdOfKey(tenant, key)
      expect(id).toMatch(JOB_ID)
      expect(jobIdOfKey(otherTenant, otherKey) === id).toBe(tenant === otherTenant && key === otherKey)
    }),
  )
  expect(jobIdOfKey('ab', 'c')).not.toBe(jobIdOfKey('a', 'bc'))
})

test('a job id of a record names its place in the log', () => {
  const id = jobIdOfRecord('inference.commands.v1', 3, 12n)
  expect(id).toMatch(JOB_ID)
  expect(jobIdOfRecord('inference.commands.v1', 3, 12n)).toBe(id)
  const others = [
    jobIdOfRecord('inference.commands.v1', 31, 2n),
    jobIdOfRecord('inference.commands.v1', 3, 13n),
    jobIdOfRecord('test.commands.v1', 3, 12n),
    jobIdOfRecord('inference.commands.v1', 3, 12n + (1n << 53n)),
    jobIdOfRecord('inference.commands.v1', 3, 13n + (1n << 53n)),
    jobIdOfKey('inference.commands.v1', '3'),
  ]
  expect(new Set([id, ...others]).size).toBe(others.length + 1)
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  // Pairs, not an object: integer-like keys of an object come first whatever their order.
  const pairs = Object.entries(value).map(([key, entry]) => [key, sorted(entry)] as const)
  return { object: pairs.sort(([a], [b]) => (a < b ? -1 : 1)) }
}

test('a firing’s job follows from its schedule and its time, and from nothing else', () => {
  const schedules = fc.array(fc.nat(3), { minLength: 2, maxLength: 2 })
  fc.assert(
    fc.property(
      schedules,
      fc.bigInt({ min: 0n, max: 3n }),
      fc.bigInt({ min: 0n, max: 3n }),
      ([one, other], at, then) => {
        const id = jobIdOfFiring(`schedule-${one}`, at)
        expect(id).toMatch(JOB_ID)
        expect(jobIdOfFiring(`schedule-${other}`, then) === id).toBe(one === other && at === then)
      },
    ),
  )
})

test('a schedule has the digits of the job that its submission would be', () => {
  const jobId = jobIdOfKey('acme', 'k1')
  expect(scheduleIdOf(jobId)).toBe(`schedule-${jobId.slice('batch-'.length)}`)
})
