// How long a role waits before it tries again: until its patience is at an end, or what it waits for is over.
import { expect, test } from 'vitest'
import { Backoff } from '../src/backoff.ts'

const never = new AbortController().signal

test('it waits as long as it has patience, and has it again when things worked meanwhile', async () => {
  const backoff = new Backoff(150)
  const tries = async (): Promise<number> => {
    for (let count = 0; ; count++) if (!(await backoff.wait(never))) return count
  }
  // Waits of 50 to 100 ms, then of 100 to 200 ms.
  for (let round = 0; round < 2; round++) {
    const count = await tries()
    expect(count).toBeGreaterThanOrEqual(1)
    expect(count).toBeLessThanOrEqual(3)
    expect(await backoff.wait(never)).toBe(false)
    backoff.reset()
  }
})

test('an end of the job, or of the process, ends the wait at once', async () => {
  const over = new AbortController()
  const backoff = new Backoff(60_000)
  for (let i = 0; i < 3; i++) await backoff.wait(never)
  const waited = backoff.wait(over.signal)
  over.abort()
  expect(await waited).toBe(false)
  expect(await backoff.wait(over.signal)).toBe(false)
})
