// Commits of a partition's offsets, gathered for a moment: of several only the last matters. A task that is over and not committed
// yet costs whoever gets it again a look at the ledger.

const GATHER_MS = 500

export class GatheredCommits {
  readonly #commit: (offset: bigint) => Promise<void>
  #wanted: bigint | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(commit: (offset: bigint) => Promise<void>) {
    this.#commit = commit
  }

  /** Commits the offset, or a later one, within a moment. Offsets never go back. */
  soon(offset: bigint, onError: (error: Error) => void): void {
    this.#wanted = offset
    this.#timer ??= setTimeout(() => {
      this.flush().catch(onError)
    }, GATHER_MS)
  }

  /** Commits what has gathered. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const offset = this.#wanted
    this.#wanted = null
    if (offset !== null) await this.#commit(offset)
  }
}
