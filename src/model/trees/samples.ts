// Rows to compare two ways of walking an ensemble: they lie at the thresholds, where the ways part if anywhere.
import type { TreeEnsemble } from './ensemble.ts'
import { numberBelow } from './tree.ts'

const ROWS = 1_024
const SEED = 0x9e3779b9

/**
 * Row-major rows for an ensemble, the same each time: every feature is one of its thresholds, chosen at random, or just below,
 * just above, infinite or zero, and in the second half of the rows sometimes NaN.
 */
export function samplesOf({ trees, features }: TreeEnsemble): Float32Array {
  const thresholds: number[][] = Array.from({ length: features }, () => [])
  for (const tree of trees) {
    tree.left.forEach((child, i) => {
      if (child !== i) thresholds[tree.features[i] as number]?.push(tree.thresholds[i] as number)
    })
  }
  const random = generator(SEED)
  return Float32Array.from({ length: ROWS * features }, (_, at) => {
    const known = thresholds[at % features] as number[]
    const threshold = known[Math.floor(random() * known.length)] ?? 0
    const choice = random()
    if (choice < 0.4) return threshold
    if (choice < 0.65) return numberBelow(threshold)
    if (choice < 0.9) return -numberBelow(-threshold)
    const odd = at < (ROWS / 2) * features ? ODD : [...ODD, Number.NaN]
    return odd[Math.floor(random() * odd.length)] as number
  })
}

const ODD = [Infinity, -Infinity, 0, -0]

/** Numbers from 0 up to 1: a linear congruence, whose high bits are even enough to choose by. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
