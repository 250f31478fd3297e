// Which element shows which row of a long list: a row keeps its element while it is in view, and leaves it to one that comes
// into view. To fill an element anew costs a fraction of making one. Pure.

/** Id → slot for each of `ids`. Slots are small numbers, each used once. */
export function assignSlots(before: ReadonlyMap<string, number>, ids: readonly string[]): Map<string, number> {
  const after = new Map<string, number>()
  const taken = new Set<number>()
  for (const id of ids) {
    const slot = before.get(id)
    if (slot === undefined) continue
    after.set(id, slot)
    taken.add(slot)
  }
  let free = 0
  for (const id of ids) {
    if (after.has(id)) continue
    while (taken.has(free)) free++
    after.set(id, free)
    taken.add(free)
  }
  return after
}
