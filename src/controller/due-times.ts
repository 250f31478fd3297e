// What is due when: ids by their time in a binary heap, so that a look costs what it finds and not how much there is. A time that
// was replaced stays in the heap until its turn comes, and is passed over then. Pure.

interface Entry {
  readonly id: string
  readonly at: number
}

export class DueTimes {
  /** What counts: id → its time. */
  readonly #times = new Map<string, number>()
  /** Each parent, at (i - 1) >> 1, is due no later than its children. */
  readonly #heap: Entry[] = []
  /** What has been found due, and is until it gets another time. */
  readonly #due = new Map<string, number>()

  /** The id is due from `at` on; null: never. */
  set(id: string, at: number | null): void {
    if ((this.#times.get(id) ?? null) === at) return
    this.#due.delete(id)
    if (at === null) {
      this.#times.delete(id)
      return
    }
    this.#times.set(id, at)
    this.#push({ id, at })
  }

  /** Everything that is due, what was longest first. */
  due(now: number): string[] {
    for (let first = this.#heap[0]; first && first.at <= now; first = this.#heap[0]) {
      this.#pop()
      if (this.#times.get(first.id) === first.at) this.#due.set(first.id, first.at)
    }
    return [...this.#due.keys()]
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let place = heap.push(entry) - 1
    for (let parent = (place - 1) >> 1; place > 0; parent = (place - 1) >> 1) {
      const above = heap[parent] as Entry
      if (above.at <= entry.at) break
      heap[place] = above
      place = parent
    }
    heap[place] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Entry
    if (!heap.length) return
    let place = 0
    for (;;) {
      const left = 2 * place + 1
      const child = (heap[left + 1]?.at ?? Number.POSITIVE_INFINITY) < (heap[left]?.at ?? 0) ? left + 1 : left
      const below = heap[child]
      if (!below || below.at >= last.at) break
      heap[place] = below
      place = child
    }
    heap[place] = last
  }
}
