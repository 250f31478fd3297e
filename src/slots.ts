// So many at a time, in the order in which they asked: who tries again stands behind who has not had a turn.
export class Slots {
  #free: number
  /** Who waits, first come first. */
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Resolves with a slot, which must be given back; rejects without one when `signal` aborts. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((resolve, reject) => {
      const given = (): void => {
        signal.removeEventListener('abort', givenUp)
        resolve()
      }
      const givenUp = (): void => {
        this.#waiting.delete(given)
        reject(signal.reason)
      }
      this.#waiting.add(given)
      signal.addEventListener('abort', givenUp, { once: true })
    })
  }

  give(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
