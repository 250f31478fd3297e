// Bytes that grow at the end: what arrives in pieces, and values of variable width.

/** An own ArrayBuffer, doubled when full, so that appending stays linear. */
export class GrowableBytes {
  #bytes: Buffer<ArrayBuffer>
  #length = 0

  constructor(capacity: number) {
    this.#bytes = Buffer.from(new ArrayBuffer(Math.max(capacity, 64)))
  }

  get length(): number {
    return this.#length
  }

  /** The memory behind; only the first `length` bytes count, and `reserve` may replace it. */
  get bytes(): Buffer<ArrayBuffer> {
    return this.#bytes
  }

  /** Makes room for `more` bytes and counts them in; returns where they go. The caller fills them. */
  reserve(more: number): number {
    const at = this.#length
    const needed = at + more
    // Offsets are int32, as in Arrow.
    if (needed > 0x7fffffff)
      throw new RangeError('expected less than 2 GiB in a column of a chunk: use a smaller batch_size')
    if (needed > this.#bytes.length) {
      const grown = Buffer.from(new ArrayBuffer(Math.min(0x7fffffff, Math.max(needed, 2 * this.#bytes.length))))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    this.#length = needed
    return at
  }

  append(bytes: Uint8Array, from: number, to: number): void {
    const at = this.reserve(to - from)
    this.#bytes.set(bytes.subarray(from, to), at)
  }

  /** Forgets the first `count` bytes, or all of them. */
  drop(count = this.#length): void {
    this.#bytes.copyWithin(0, count, this.#length)
    this.#length -= count
  }

  /** Exactly the bytes so far, as a view. */
  view(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.buffer, 0, this.#length)
  }
}
