// One decision tree as the walk takes it: breadth first, so that a node's children lie side by side, and every kind of
// branch turned into "left where the feature is at most the threshold".
import type { OnnxNode } from './onnx-graph.ts'

export interface Tree {
  /** Steps from the root to the deepest leaf. */
  readonly depth: number
  /** Of each node; a leaf's is infinite. */
  readonly thresholds: Float32Array
  readonly features: Uint16Array
  /** Index of the left child, the right one follows; a leaf's own index. */
  readonly left: Uint32Array
  /** 1 where NaN goes left. */
  readonly nanLeft: Uint8Array
  /** `width` for each node, zeros for one that is no leaf. */
  readonly weights: Float32Array
  readonly width: number
  /** The sum that the first of a leaf's weights is added to. */
  readonly sum: number
}

/** What 11 and 20 bits of a node hold (kernel/walk.ts). */
const MAX_FEATURES = 2 ** 11
const MAX_NODES = 2 ** 20
/** Every row takes as many steps as the tree is deep: a tree that is a chain would be slow. */
const MAX_DEPTH = 64

const LEAF = 'LEAF'

/**
 * The trees of an ensemble whose leaves give weights to `sums` sums: each leaf to all of them, or all leaves of a tree to the same
 * one. Null where it is otherwise, or where a tree is too large, no tree, or has other branches than comparisons.
 */
export function treesOf(node: OnnxNode, weighs: 'class' | 'target', sums: number, features: number): Tree[] | null {
  const source = sourceOf(node, weighs)
  const ranges = source && rangesOf(source.nodes.treeIds)
  if (!source || !ranges || features > MAX_FEATURES) return null
  if (source.nodes.modes.some((mode, at) => mode !== LEAF && !((source.nodes.features[at] as number) < features))) {
    return null
  }
  const trees: Tree[] = []
  for (const [first, end] of ranges.values()) {
    const tree = treeOf(source, first, end, sums)
    if (!tree) return null
    trees.push(tree)
  }
  const summed = new Set(trees.flatMap(({ width, sum }) => (width === 1 ? [sum] : [])))
  const alike = trees.every(({ width }) => width === trees[0]?.width)
  return alike && (trees[0]?.width === sums || summed.size === sums) ? trees : null
}

/** The operator's attributes: of each node, and of each weight that a leaf gives to a sum. */
interface Source {
  readonly nodes: {
    readonly treeIds: readonly number[]
    readonly ids: readonly number[]
    readonly features: readonly number[]
    readonly thresholds: readonly number[]
    readonly modes: readonly string[]
    readonly trueIds: readonly number[]
    readonly falseIds: readonly number[]
    readonly nanTrue: readonly number[]
  }
  readonly weights: {
    readonly treeIds: readonly number[]
    readonly nodeIds: readonly number[]
    readonly sums: readonly number[]
    readonly values: readonly number[]
  }
  /** First and last but one of a tree's weights. */
  readonly weighted: ReadonlyMap<number, readonly [first: number, end: number]>
}

function sourceOf({ attributes }: OnnxNode, weighs: string): Source | null {
  // Doubles come in attributes of their own; the walk sums in single precision.
  if ([...attributes.keys()].some((name) => name.endsWith('_as_tensor'))) return null
  const ints = (name: string) => attributes.get(name)?.ints ?? []
  const ids = ints('nodes_nodeids')
  const nanTrue = ints('nodes_missing_value_tracks_true')
  const nodes = {
    treeIds: ints('nodes_treeids'),
    ids,
    features: ints('nodes_featureids'),
    thresholds: attributes.get('nodes_values')?.floats ?? [],
    modes: attributes.get('nodes_modes')?.texts ?? [],
    trueIds: ints('nodes_truenodeids'),
    falseIds: ints('nodes_falsenodeids'),
    nanTrue: nanTrue.length > 0 ? nanTrue : ids.map(() => 0),
  }
  const weights = {
    treeIds: ints(`${weighs}_treeids`),
    nodeIds: ints(`${weighs}_nodeids`),
    sums: ints(`${weighs}_ids`),
    values: attributes.get(`${weighs}_weights`)?.floats ?? [],
  }
  if (ids.length === 0 || !sameLength(nodes) || !sameLength(weights)) return null
  if (!weights.values.every(Number.isFinite)) return null
  const weighted = rangesOf(weights.treeIds)
  return weighted && { nodes, weights, weighted }
}

function sameLength(columns: Readonly<Record<string, readonly unknown[]>>): boolean {
  return new Set(Object.values(columns).map(({ length }) => length)).size === 1
}

/** From where to where each number stands; null where one stands in two places. */
function rangesOf(values: readonly number[]): Map<number, [first: number, end: number]> | null {
  const ranges = new Map<number, [number, number]>()
  for (let first = 0; first < values.length; ) {
    const value = values[first] as number
    let end = first + 1
    while (end < values.length && values[end] === value) end++
    if (ranges.has(value)) return null
    ranges.set(value, [first, end])
    first = end
  }
  return ranges
}

/** The tree of nodes `first` to `end`, whose first is the root. */
function treeOf(source: Source, first: number, end: number, sums: number): Tree | null {
  const { ids, modes, features, thresholds, trueIds, falseIds, nanTrue } = source.nodes
  const places = new Map<number, number>()
  for (let at = first; at < end; at++) places.set(ids[at] as number, at)
  const order = [first]
  const depths = [0]
  const left: number[] = []
  for (let i = 0; i < order.length; i++) {
    const at = order[i] as number
    left[i] = i
    if (modes[at] === LEAF) continue
    const branch = BRANCHES.get(modes[at] as string)
    const children = [places.get(trueIds[at] as number), places.get(falseIds[at] as number)]
    const depth = (depths[i] as number) + 1
    // More children than nodes: some node is the child of two, or of itself.
    if (!branch || order.length + 2 > end - first || depth > MAX_DEPTH) return null
    left[i] = order.length
    for (const child of branch.leftIsTrue ? children : children.reverse()) {
      if (child === undefined) return null
      order.push(child)
      depths.push(depth)
    }
  }
  if (order.length > MAX_NODES || new Set(order).size !== order.length) return null
  const weights = weightsOf(source, order, sums)
  if (!weights) return null
  const branches = order.map((at) => BRANCHES.get(modes[at] as string))
  return {
    depth: depths.at(-1) as number,
    thresholds: Float32Array.from(order, (at, i) => branches[i]?.threshold(thresholds[at] as number) ?? Infinity),
    features: Uint16Array.from(order, (at, i) => (branches[i] ? (features[at] as number) : 0)),
    left: Uint32Array.from(left),
    nanLeft: Uint8Array.from(order, (at, i) => {
      const branch = branches[i]
      return !branch || (nanTrue[at] === 1) === branch.leftIsTrue ? 1 : 0
    }),
    ...weights,
  }
}

/** Of the tree's nodes in this order; null unless each leaf weighs for all sums in turn, or all leaves for the same one. */
function weightsOf({ nodes, weights, weighted }: Source, order: readonly number[], sums: number) {
  const [first, end] = weighted.get(nodes.treeIds[order[0] as number] as number) ?? [0, 0]
  const places = new Map<number, number>()
  for (let at = end - 1; at >= first; at--) places.set(weights.nodeIds[at] as number, at)
  const leaves = order.filter((at) => nodes.modes[at] === LEAF)
  const width = (end - first) / leaves.length
  if (width !== 1 && width !== sums) return null
  const sum = width === 1 ? (weights.sums[first] as number) : 0
  const values = new Float32Array(order.length * width)
  for (const [i, at] of order.entries()) {
    if (nodes.modes[at] !== LEAF) continue
    const place = places.get(nodes.ids[at] as number) ?? end
    for (let k = 0; k < width; k++) {
      const own = place + k < end && weights.nodeIds[place + k] === nodes.ids[at]
      if (!own || weights.sums[place + k] !== sum + k) return null
      values[i * width + k] = weights.values[place + k] as number
    }
  }
  return sum < sums ? { weights: values, width, sum } : null
}

interface Branch {
  /** Whether the rows for which the comparison holds go left; the others do where it is the opposite of "at most". */
  readonly leftIsTrue: boolean
  readonly threshold: (value: number) => number
}

/** "Less" is "at most the number below"; a comparison with NaN holds for no row, as one with a threshold of NaN. */
const BRANCHES: ReadonlyMap<string, Branch> = new Map<string, Branch>([
  ['BRANCH_LEQ', { leftIsTrue: true, threshold: (value) => value }],
  ['BRANCH_LT', { leftIsTrue: true, threshold: numberBelow }],
  ['BRANCH_GT', { leftIsTrue: false, threshold: (value) => (Number.isNaN(value) ? Infinity : value) }],
  ['BRANCH_GTE', { leftIsTrue: false, threshold: (value) => (Number.isNaN(value) ? Infinity : numberBelow(value)) }],
])

const word = new Int32Array(1)
const float = new Float32Array(word.buffer)

/** The next smaller float32; NaN below minus infinity. */
export function numberBelow(value: number): number {
  float[0] = value
  if (Number.isNaN(value) || value === -Infinity) return Number.NaN
  if (float[0] === 0) word[0] = 0x80000001 | 0
  else word[0] = (word[0] as number) + ((word[0] as number) < 0 ? 1 : -1)
  return float[0]
}
