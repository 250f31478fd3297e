// Trees of depth 3 and less as kernel/shallow.ts takes them: complete, a leaf that comes early standing for all below it.
import type { Tree } from './tree.ts'

/** What kernel/shallow.ts takes for a tree. */
export const SHALLOW_BYTES = 96
const DEPTH = 3
const BRANCHES = 2 ** DEPTH - 1

/** Whether all of an ensemble's trees are so, each for one sum. */
export function areShallow(trees: readonly Tree[]): boolean {
  return trees.every(({ depth, width }) => depth <= DEPTH && width === 1)
}

/** Writes the trees one after the other; a feature's column is 2^`shift` bytes long. */
export function writeShallow(buffer: ArrayBuffer, at: number, trees: readonly Tree[], shift: number): void {
  trees.forEach((tree, i) => {
    const floats = new Float32Array(buffer, at + i * SHALLOW_BYTES, SHALLOW_BYTES / 4)
    const words = new Uint32Array(buffer, at + i * SHALLOW_BYTES, SHALLOW_BYTES / 4)
    const fill = (node: number, level: number, place: number): void => {
      if (level === DEPTH) {
        floats[2 * BRANCHES + place] = tree.weights[node] as number
        return
      }
      const left = tree.left[node] as number
      const leaf = left === node
      const slot = 2 ** level - 1 + place
      // A leaf's threshold is infinite, its feature any.
      floats[slot] = tree.thresholds[node] as number
      words[BRANCHES + slot] = (tree.features[node] as number) << shift
      fill(left, level + 1, place * 2)
      fill(leaf ? node : left + 1, level + 1, place * 2 + 1)
    }
    fill(0, 0, 0)
    words[3 * BRANCHES + 1] = tree.sum << shift
  })
}
