// Walks rows through decision trees: AssemblyScript, compiled to ../walk.wasm, with shallow.ts, by `npm run kernel`.
//
// A tree visited branch by branch costs a mispredicted jump at every other node. Here eight rows go down a tree side by side and
// no step jumps: the comparison's 0 or 1 is added to the index of the left child. A block of rows passes through one tree after
// the other, so that both the block's columns and the tree's nodes stay in the nearest cache.
//
// Memory is laid out by ../walk.ts. A node is 8 bytes: its threshold (f32), then bits 12–31 the index of its left child (the
// right one follows it), bit 11 whether NaN goes left, bits 0–10 the feature. A row goes left where its feature is at most the
// threshold. A leaf is its own left child, its threshold is infinite, and NaN goes left.

const NODE: u32 = 3
const META: usize = 4
const LEFT: u32 = 12
const NAN_LEFT: u32 = 11
const FEATURE: u32 = 0x7ff

/** A tree in the table of trees: address of its nodes, its depth, address of its leaves' weights, offset of its sums. */
const TREE_BYTES: usize = 16

/**
 * Turns `rows` x `features` row-major numbers at `from` into columns at `to`, each 2^`shift` bytes long. Whether one of them
 * is NaN.
 */
export function transpose(from: usize, to: usize, rows: u32, features: u32, shift: u32): bool {
  let nan = false
  for (let row: u32 = 0; row < rows; row++) {
    for (let feature: u32 = 0; feature < features; feature++) {
      const value = load<f32>(from)
      nan = nan || isNaN(value)
      store<f32>(to + (feature << shift) + (row << 2), value)
      from += 4
    }
  }
  return nan
}

/**
 * Adds to the sums of `rows` rows, a multiple of eight, what the leaves weigh that they reach in each of `count` trees. A leaf
 * has `width` weights, for as many columns of sums, each 2^`sumShift` bytes long. `nan`: whether the block has any.
 */
export function addTrees(
  trees: usize,
  count: u32,
  columns: usize,
  rows: u32,
  shift: u32,
  sums: usize,
  width: u32,
  sumShift: u32,
  nan: bool,
): void {
  for (let tree: u32 = 0; tree < count; tree++) {
    const nodes: usize = load<u32>(trees)
    const depth = load<u32>(trees, 4)
    const weights: usize = load<u32>(trees, 8)
    const target = sums + load<u32>(trees, 12)
    trees += TREE_BYTES
    for (let row: u32 = 0; row < rows; row += 8) {
      const column = columns + (row << 2)
      let n0 = nodes
      let n1 = nodes
      let n2 = nodes
      let n3 = nodes
      let n4 = nodes
      let n5 = nodes
      let n6 = nodes
      let n7 = nodes
      for (let level: u32 = 0; level < depth; level++) {
        const m0 = load<u32>(n0, META)
        const m1 = load<u32>(n1, META)
        const m2 = load<u32>(n2, META)
        const m3 = load<u32>(n3, META)
        const m4 = load<u32>(n4, META)
        const m5 = load<u32>(n5, META)
        const m6 = load<u32>(n6, META)
        const m7 = load<u32>(n7, META)
        const x0 = load<f32>(column + ((m0 & FEATURE) << shift), 0)
        const x1 = load<f32>(column + ((m1 & FEATURE) << shift), 4)
        const x2 = load<f32>(column + ((m2 & FEATURE) << shift), 8)
        const x3 = load<f32>(column + ((m3 & FEATURE) << shift), 12)
        const x4 = load<f32>(column + ((m4 & FEATURE) << shift), 16)
        const x5 = load<f32>(column + ((m5 & FEATURE) << shift), 20)
        const x6 = load<f32>(column + ((m6 & FEATURE) << shift), 24)
        const x7 = load<f32>(column + ((m7 & FEATURE) << shift), 28)
        if (nan) {
          n0 = child(nodes, m0, right(x0, n0) & (isNumber(x0) | goesRight(m0)))
          n1 = child(nodes, m1, right(x1, n1) & (isNumber(x1) | goesRight(m1)))
          n2 = child(nodes, m2, right(x2, n2) & (isNumber(x2) | goesRight(m2)))
          n3 = child(nodes, m3, right(x3, n3) & (isNumber(x3) | goesRight(m3)))
          n4 = child(nodes, m4, right(x4, n4) & (isNumber(x4) | goesRight(m4)))
          n5 = child(nodes, m5, right(x5, n5) & (isNumber(x5) | goesRight(m5)))
          n6 = child(nodes, m6, right(x6, n6) & (isNumber(x6) | goesRight(m6)))
          n7 = child(nodes, m7, right(x7, n7) & (isNumber(x7) | goesRight(m7)))
        } else {
          n0 = child(nodes, m0, right(x0, n0))
          n1 = child(nodes, m1, right(x1, n1))
          n2 = child(nodes, m2, right(x2, n2))
          n3 = child(nodes, m3, right(x3, n3))
          n4 = child(nodes, m4, right(x4, n4))
          n5 = child(nodes, m5, right(x5, n5))
          n6 = child(nodes, m6, right(x6, n6))
          n7 = child(nodes, m7, right(x7, n7))
        }
      }
      const to = target + (row << 2)
      if (width == 1) {
        addOne(to, weights + ((n0 - nodes) >> 1))
        addOne(to + 4, weights + ((n1 - nodes) >> 1))
        addOne(to + 8, weights + ((n2 - nodes) >> 1))
        addOne(to + 12, weights + ((n3 - nodes) >> 1))
        addOne(to + 16, weights + ((n4 - nodes) >> 1))
        addOne(to + 20, weights + ((n5 - nodes) >> 1))
        addOne(to + 24, weights + ((n6 - nodes) >> 1))
        addOne(to + 28, weights + ((n7 - nodes) >> 1))
      } else {
        addAll(to, weights + ((n0 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 4, weights + ((n1 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 8, weights + ((n2 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 12, weights + ((n3 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 16, weights + ((n4 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 20, weights + ((n5 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 24, weights + ((n6 - nodes) >> 1) * width, width, sumShift)
        addAll(to + 28, weights + ((n7 - nodes) >> 1) * width, width, sumShift)
      }
    }
  }
}

function right(value: f32, node: usize): u32 {
  return u32(!(value <= load<f32>(node)))
}

function isNumber(value: f32): u32 {
  return u32(!isNaN(value))
}

function goesRight(meta: u32): u32 {
  return (~meta >>> NAN_LEFT) & 1
}

function child(nodes: usize, meta: u32, right: u32): usize {
  return nodes + (((meta >>> LEFT) + right) << NODE)
}

function addOne(to: usize, weight: usize): void {
  store<f32>(to, load<f32>(to) + load<f32>(weight))
}

function addAll(to: usize, weight: usize, width: u32, sumShift: u32): void {
  for (let i: u32 = 0; i < width; i++) {
    addOne(to, weight)
    to += 1 << sumShift
    weight += 4
  }
}
