// Which offset may be committed when records are worked on side by side: that of the oldest one still open. Pure.
export class OpenOffsets {
  readonly #open = new Set<bigint>()
  #end = 0n

  /** A record is being worked on. Offsets come in order. */
  open(offset: bigint): void {
    this.#open.add(offset)
    this.#end = offset + 1n
  }

  /** A record is done; returns the offset to commit (the next one to read after a restart). */
  close(offset: bigint): bigint {
    this.#open.delete(offset)
    // Insertion order is offset order, so the first is the oldest.
    for (const oldest of this.#open) return oldest
    return this.#end
  }
}
