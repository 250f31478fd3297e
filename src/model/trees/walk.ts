// An ensemble of trees laid out in a WebAssembly memory of its own, and the walk over blocks of rows (kernel/walk.ts, whose head
// says what a node looks like).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TreeEnsemble } from './ensemble.ts'
import { areShallow, SHALLOW_BYTES, writeShallow } from './shallow.ts'
import type { Tree } from './tree.ts'

/** What kernel/walk.ts exports. */
interface Kernel {
  transpose(from: number, to: number, rows: number, features: number, shift: number): number
  addTrees(
    trees: number,
    count: number,
    columns: number,
    rows: number,
    shift: number,
    sums: number,
    width: number,
    sumShift: number,
    nan: number,
  ): void
  addShallow(trees: number, count: number, columns: number, rows: number, sums: number): void
}

/** Of the interface to WebAssembly, what is used here: TypeScript has it only in the browser's library. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer }
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown }
}

const kernel = new WebAssembly.Module(readFileSync(join(import.meta.dirname, 'walk.wasm')))

const NODE_BYTES = 8
const TREE_BYTES = 16
const FLOAT_BYTES = 4
const PAGE_BYTES = 2 ** 16
/** Below this nothing lies: address 0 would look like nothing. */
const START = 64
const MAX_BYTES = 2 ** 30

/** Rows that go through all trees together; a power of two, at least the eight that go side by side. */
const MAX_BLOCK_ROWS = 256
const MIN_BLOCK_ROWS = 8
/** Of a block's columns: they are to stay in the processor's nearest cache, beside a tree. */
const BLOCK_BYTES = 2 ** 15

export interface Walk {
  /** Of a whole block; the last one of a batch may have fewer rows. */
  readonly blockRows: number
  /**
   * The sums of a block of rows, `rows` x features numbers in row-major order. The sums of row i are at i, i + `blockRows`,
   * i + 2 `blockRows` and so on; they are overwritten by the next block.
   */
  sums(block: Float32Array): Float32Array
}

/** Lays the trees out; null when they need more memory than a walk may have. */
export function openWalk({ trees, features, sums }: TreeEnsemble): Walk | null {
  const blockRows = blockRowsFor(features)
  const shift = Math.log2(blockRows * FLOAT_BYTES)
  let end = START
  const place = (bytes: number): number => {
    const at = end
    // Each part begins with a cache line.
    end = Math.ceil((at + bytes) / 64) * 64
    return at
  }
  const table = place(trees.length * TREE_BYTES)
  const placed = trees.map((tree) => ({
    tree,
    nodes: place(tree.thresholds.length * NODE_BYTES),
    weights: place(tree.weights.length * FLOAT_BYTES),
  }))
  const shallow = areShallow(trees) ? place(trees.length * SHALLOW_BYTES) : null
  const rowsAt = place(blockRows * features * FLOAT_BYTES)
  const columnsAt = place(features << shift)
  const sumsAt = place(sums << shift)
  if (end > MAX_BYTES) return null

  const memory = new WebAssembly.Memory({ initial: Math.ceil(end / PAGE_BYTES) })
  const words = new Uint32Array(memory.buffer)
  placed.forEach(({ tree, nodes, weights }, i) => {
    const sumOffset = tree.sum << shift
    words.set([nodes, tree.depth, weights, sumOffset], (table + i * TREE_BYTES) / 4)
    writeNodes(memory.buffer, nodes, tree)
    new Float32Array(memory.buffer, weights, tree.weights.length).set(tree.weights)
  })
  if (shallow !== null) writeShallow(memory.buffer, shallow, trees, shift)
  const { transpose, addTrees, addShallow } = new WebAssembly.Instance(kernel, { env: { memory } }).exports as Kernel
  const rowsIn = new Float32Array(memory.buffer, rowsAt, blockRows * features)
  const sumsOut = new Float32Array(memory.buffer, sumsAt, blockRows * sums)
  const width = trees[0]?.width ?? 1
  return {
    blockRows,
    sums(block) {
      rowsIn.set(block)
      const rows = block.length / features
      const nan = transpose(rowsAt, columnsAt, rows, features, shift)
      sumsOut.fill(0)
      // Of the rows beyond the last, whatever the block before has left there is walked along.
      const padded = Math.ceil(rows / 8) * 8
      if (shallow !== null && !nan) addShallow(shallow, trees.length, columnsAt, padded, sumsAt)
      else addTrees(table, trees.length, columnsAt, padded, shift, sumsAt, width, shift, nan)
      return sumsOut
    },
  }
}

function writeNodes(buffer: ArrayBuffer, at: number, { thresholds, features, left, nanLeft }: Tree): void {
  const floats = new Float32Array(buffer, at, thresholds.length * 2)
  const words = new Uint32Array(buffer, at, thresholds.length * 2)
  thresholds.forEach((threshold, i) => {
    floats[i * 2] = threshold
    words[i * 2 + 1] = ((left[i] as number) << 12) | ((nanLeft[i] as number) << 11) | (features[i] as number)
  })
}

function blockRowsFor(features: number): number {
  const fitting = 2 ** Math.floor(Math.log2(BLOCK_BYTES / (features * FLOAT_BYTES)))
  return Math.min(MAX_BLOCK_ROWS, Math.max(MIN_BLOCK_ROWS, fitting))
}
