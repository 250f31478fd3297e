// Lets one loop wait for something to happen. A signal that comes while nobody waits is remembered once, so none is lost.
export class Wakeup {
  #signalled = false
  #resolve: (() => void) | null = null

  signal(): void {
    this.#signalled = true
    this.#resolve?.()
  }

  /** Resolves at the next signal, or at once if there was one since the last wait. One waiter at a time. */
  async wait(): Promise<'woken'> {
    if (!this.#signalled) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
      })
      this.#resolve = null
    }
    this.#signalled = false
    return 'woken'
  }

  /** The same, for so long at most; whether there was a signal. */
  async waitAtMost(ms: number): Promise<boolean> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.signal()
    }, ms)
    await this.wait()
    clearTimeout(timer)
    return !late
  }
}
