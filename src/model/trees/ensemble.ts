// What a model made of decision trees computes, as far as it is one that the walk can take over: a TreeEnsembleClassifier or
// TreeEnsembleRegressor and nothing else. Gradient boosting and forests of scikit-learn, XGBoost and LightGBM are exported so.
// Source: the operators of ai.onnx.ml 3, and what ONNX Runtime 1.30 makes of them.
import type { Signature } from '../model.ts'
import type { OnnxAttribute, OnnxGraph, OnnxNode } from './onnx-graph.ts'
import { type Tree, treesOf } from './tree.ts'

export interface TreeEnsemble {
  readonly trees: readonly Tree[]
  /** Columns of the model's one input. */
  readonly features: number
  /** Sums of each row, over all trees: one for each target or class, one for two classes. */
  readonly sums: number
  readonly head: Head
  /** The model's outputs, by name: which part of the head's result they are. */
  readonly outputs: ReadonlyMap<string, 'label' | 'scores'>
}

/** What becomes of a row's sums; `base` is added to them first. */
export type Head =
  | { readonly kind: 'regression'; readonly base: readonly number[]; readonly divisor: number }
  | {
      /** Two classes; the sum is the score, or the probability, of the second. */
      readonly kind: 'binary'
      readonly base: number
      /** The second class is it where the sum is greater. */
      readonly border: number
      readonly transform: 'logistic' | 'negate' | 'complement'
      readonly labels: Labels
    }
  | {
      readonly kind: 'classes'
      readonly base: readonly number[]
      readonly transform: 'none' | 'softmax' | 'logistic'
      readonly labels: Labels
    }

/** Integers that a double holds exactly, or texts. */
export type Labels = readonly number[] | readonly string[]

/** The model as an ensemble of trees, or null where it is anything else, or has what the walk does not know. */
export function ensembleOf(graph: OnnxGraph, { inputs, outputs }: Signature): TreeEnsemble | null {
  const [input, ...others] = inputs
  const features = input?.shape[1] ?? -1
  if (input === undefined || others.length > 0 || input.type !== 'float32' || input.shape.length !== 2) return null
  const [node, ...after] = graph.nodes
  if (node === undefined || node.inputs[0] !== input.name || features < 1) return null
  const classifies = node.op === 'TreeEnsembleClassifier'
  if (!classifies && node.op !== 'TreeEnsembleRegressor') return null
  const parts = outputsOf(node, after, graph)
  if (!parts || outputs.some(({ name }) => !parts.has(name))) return null
  const head = classifies ? classifierHead(node) : regressorHead(node)
  if (!head) return null
  const { sums } = head
  const trees = treesOf(node, classifies ? 'class' : 'target', sums, features)
  if (!trees) return null
  return { trees, features, sums, head: head.head, outputs: parts }
}

/** Exporters rename the results, cast a label to what it is, and multiply by one. */
function outputsOf(
  trees: OnnxNode,
  after: readonly OnnxNode[],
  graph: OnnxGraph,
): Map<string, 'label' | 'scores'> | null {
  const classifies = trees.op === 'TreeEnsembleClassifier'
  const [first, second] = trees.outputs
  const known = new Map<string, 'label' | 'scores'>()
  if (first) known.set(first, classifies ? 'label' : 'scores')
  if (second) known.set(second, 'scores')
  for (const { op, inputs, outputs, attributes } of after) {
    const [from, factor] = inputs
    const part = known.get(from ?? '')
    const same =
      op === 'Identity' ||
      (op === 'Cast' && part === 'label' && attributes.get('to')?.int === INT64 && isInteger(trees)) ||
      (op === 'Mul' && part === 'scores' && graph.scalars.get(factor ?? '') === 1)
    if (!same || !part || outputs[0] === undefined) return null
    known.set(outputs[0], part)
  }
  return known
}

const INT64 = 7

function isInteger({ attributes }: OnnxNode): boolean {
  return (attributes.get('classlabels_int64s')?.ints.length ?? 0) > 0
}

function regressorHead({ attributes }: OnnxNode): { head: Head; sums: number } | null {
  const sums = attributes.get('n_targets')?.int ?? 1
  const base = attributes.get('base_values')?.floats ?? []
  const aggregate = textOf(attributes.get('aggregate_function'), 'SUM')
  if (textOf(attributes.get('post_transform'), 'NONE') !== 'NONE' || !['SUM', 'AVERAGE'].includes(aggregate))
    return null
  if (base.length !== 0 && base.length !== sums) return null
  const divisor = aggregate === 'AVERAGE' ? new Set(attributes.get('nodes_treeids')?.ints).size : 1
  return { head: { kind: 'regression', base, divisor }, sums }
}

function classifierHead({ attributes }: OnnxNode): { head: Head; sums: number } | null {
  const labels = labelsOf(attributes)
  const base = attributes.get('base_values')?.floats ?? []
  const ids = new Set(attributes.get('class_ids')?.ints)
  const transform = textOf(attributes.get('post_transform'), 'NONE')
  if (labels?.length === 2 && ids.size === 1 && ids.has(0) && base.length < 2) {
    if (transform !== 'NONE' && transform !== 'LOGISTIC') return null
    // Sums of what is never negative are taken for probabilities, even those that the transform makes others of.
    const probable = attributes.get('class_weights')?.floats.every((weight) => weight >= 0)
    const binary = transform === 'LOGISTIC' ? 'logistic' : probable ? 'complement' : 'negate'
    const head: Head = { kind: 'binary', base: base[0] ?? 0, border: probable ? 0.5 : 0, transform: binary, labels }
    return { head, sums: 1 }
  }
  // A class that no leaf speaks of is left out of the comparison, whatever the others come to.
  if (!labels || labels.length < 3 || ids.size !== labels.length) return null
  if (base.length !== 0 && base.length !== labels.length) return null
  const known = TRANSFORMS.get(transform)
  return known ? { head: { kind: 'classes', base, transform: known, labels }, sums: labels.length } : null
}

const TRANSFORMS = new Map([
  ['NONE', 'none'],
  ['SOFTMAX', 'softmax'],
  ['LOGISTIC', 'logistic'],
] as const) as ReadonlyMap<string, 'none' | 'softmax' | 'logistic'>

function labelsOf(attributes: ReadonlyMap<string, OnnxAttribute>): Labels | null {
  const integers = attributes.get('classlabels_int64s')?.ints ?? []
  if (integers.length > 0) return integers.every(Number.isSafeInteger) ? integers : null
  return attributes.get('classlabels_strings')?.texts ?? null
}

function textOf(attribute: OnnxAttribute | undefined, absent: string): string {
  return attribute?.text || absent
}
