// Waiting for something to become true: what the tests use in place of sleeping.

export interface UntilOptions {
  readonly timeoutMs?: number
  readonly everyMs?: number
  /** What is waited for, for the error message. */
  readonly what?: string
}

/**
 * Calls `probe` until it gives something truthy, and returns that. An error that it throws counts as "not yet"; the last one is
 * the cause of the error when the time is up.
 */
export async function until<T>(probe: () => T | Promise<T>, options: UntilOptions = {}): Promise<NonNullable<T>> {
  const { timeoutMs = 60_000, everyMs = 50, what = probe.toString() } = options
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      last = undefined
      const value = await probe()
      if (value) return value
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      throw new Error(`Not so within ${timeoutMs} ms: ${what}`, last === undefined ? {} : { cause: last })
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
