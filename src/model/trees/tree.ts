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

/**
 * The trees of an ensemble whose leaves give weights to `sums` sums: each leaf to all of them, or all leaves of a tree to the same
 * one. Null where it is otherwise, or where a tree is too large, no tree, or has other branches than comparisons.
 */
export function treesOf(node: OnnxNode, weighs: 'class' | 'target', sums: number, features: number): Tree[] | null {
  const source = sourceOf(node, weighs)
  if (!source || features > MAX_FEATURES || source.features.some((feature) => feature < 0 || feature >= features)) {
    return null
  }
  const trees: Tree[] = []
  for (let first = 0; first < source.ids.length; ) {
    let end = first + 1
    while (end < source.ids.length && source.treeIds[end] === source.treeIds[first]) end++
    const tree = treeOf(source, first, end, sums)
    if (!tree) return null
    trees.push(tree)
    first = end
  }
  const summed = new Set(trees.flatMap(({ width, sum }) => (width === 1 ? [sum] : [])))
  const alike = trees.every(({ width }) => width === trees[0]?.width)
  return alike && (trees[0]?.width === sums || summed.size === sums) ? trees : null
}

/** The operator's attributes, one element for each node but for the weights. */
interface Source {
  readonly treeIds: readonly number[]
  readonly ids: readonly number[]
  readonly features: readonly number[]
  readonly thresholds: readonly number[]
  readonly modes: readonly string[]
  readonly trueIds: readonly number[]
  readonly falseIds: readonly number[]
  readonly nanTrue: readonly number[]
  /** Weights of a leaf by tree and node. */
  readonly weights: ReadonlyMap<number, ReadonlyMap<number, readonly Weight[]>>
}

interface Weight {
  readonly sum: number
  readonly value: number
}

function sourceOf({ attributes }: OnnxNode, weighs: string): Source | null {
  // Doubles come in attributes of their own; the walk sums in single precision.
  if ([...attributes.keys()].some((name) => name.endsWith('_as_tensor'))) return null
  const ints = (name: string) => attributes.get(name)?.ints ?? []
  const ids = ints('nodes_nodeids')
  const nanTrue = ints('nodes_missing_value_tracks_true')
  const source = {
    treeIds: ints('nodes_treeids'),
    ids,
    features: ints('nodes_featureids'),
    thresholds: attributes.get('nodes_values')?.floats ?? [],
    modes: attributes.get('nodes_modes')?.texts ?? [],
    trueIds: ints('nodes_truenodeids'),
    falseIds: ints('nodes_falsenodeids'),
    nanTrue: nanTrue.length > 0 ? nanTrue : ids.map(() => 0),
  }
  if (ids.length === 0 || Object.values(source).some(({ length }) => length !== ids.length)) return null
  const values = attributes.get(`${weighs}_weights`)?.floats ?? []
  const [trees, nodes, sums] = ['treeids', 'nodeids', 'ids'].map((name) => ints(`${weighs}_${name}`)) as [
    readonly number[],
    readonly number[],
    readonly number[],
  ]
  if ([trees, nodes, sums].some(({ length }) => length !== values.length) || !values.every(Number.isFinite)) return null
  const weights = new Map<number, Map<number, Weight[]>>()
  values.forEach((value, i) => {
    const ofTree = entry(weights, trees[i] as number, () => new Map<number, Weight[]>())
    entry(ofTree, nodes[i] as number, (): Weight[] => []).push({ sum: sums[i] as number, value })
  })
  return { ...source, weights }
}

/** The tree of nodes `first` to `end`, whose first is the root. */
function treeOf(source: Source, first: number, end: number, sums: number): Tree | null {
  const places = new Map<number, number>()
  for (let at = first; at < end; at++) places.set(source.ids[at] as number, at)
  const order = [first]
  const depths = [0]
  const left: number[] = []
  for (let i = 0; i < order.length; i++) {
    const at = order[i] as number
    left[i] = i
    if (source.modes[at] === 'LEAF') continue
    const branch = BRANCHES.get(source.modes[at] as string)
    const children = [places.get(source.trueIds[at] as number), places.get(source.falseIds[at] as number)]
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
  const weights = weightsOf(source, first, order, sums)
  if (!weights) return null
  const branches = order.map((at) => BRANCHES.get(source.modes[at] as string))
  return {
    depth: depths.at(-1) as number,
    thresholds: Float32Array.from(
      order,
      (at, i) => branches[i]?.threshold(source.thresholds[at] as number) ?? Infinity,
    ),
    features: Uint16Array.from(order, (at, i) => (branches[i] ? (source.features[at] as number) : 0)),
    left: Uint32Array.from(left),
    nanLeft: Uint8Array.from(order, (at, i) => {
      const branch = branches[i]
      return !branch || (source.nanTrue[at] === 1) === branch.leftIsTrue ? 1 : 0
    }),
    ...weights,
  }
}

function weightsOf(source: Source, first: number, order: readonly number[], sums: number) {
  const ofTree = source.weights.get(source.treeIds[first] as number)
  const ofNode = order.map((at) => ofTree?.get(source.ids[at] as number) ?? [])
  const leaves = ofNode.filter((_, i) => source.modes[order[i] as number] === 'LEAF')
  const width = leaves[0]?.length ?? 0
  const sum = width === 1 ? (leaves[0]?.[0]?.sum ?? 0) : 0
  const dense = leaves.every((weights) => weights.length === width && weights.every((w, k) => w.sum === sum + k))
  if (!dense || (width !== 1 && width !== sums) || sum >= sums) return null
  const weights = new Float32Array(order.length * width)
  ofNode.forEach((each, i) => {
    if (source.modes[order[i] as number] === 'LEAF')
      weights.set(
        each.map(({ value }) => value),
        i * width,
      )
  })
  return { weights, width, sum }
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

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
