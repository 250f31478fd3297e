// Ensembles of trees that no exporter would make: every kind of branch beside the other, odd thresholds, NaN that goes either way.
import fc from 'fast-check'
import { type Attribute, onnxModel } from '../onnx-writer.ts'

export interface EnsembleSpec {
  readonly features: number
  readonly trees: readonly TreeSpec[]
  readonly result: ResultSpec
}

export type TreeSpec = BranchSpec | { readonly weights: readonly number[] }

interface BranchSpec {
  readonly mode: (typeof MODES)[number]
  readonly feature: number
  readonly threshold: number
  readonly nanTrue: boolean
  readonly yes: TreeSpec
  readonly no: TreeSpec
}

export interface ResultSpec {
  readonly op: 'TreeEnsembleClassifier' | 'TreeEnsembleRegressor'
  /** Classes or targets that the sums are of. */
  readonly sums: number
  readonly labels: readonly (number | string)[]
  readonly base: readonly number[]
  readonly transform: string
  readonly aggregate: string
  /** One sum a tree, by turns, or all sums in each leaf. */
  readonly dense: boolean
}

const MODES = ['BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GT', 'BRANCH_GTE'] as const
const THRESHOLDS = [0, -0, 1, -1, 0.1, 2 ** -149, -(2 ** -149), 3.4028234663852886e38, Infinity, -Infinity]

const float = fc.float({ noNaN: true, noDefaultInfinity: true, min: -8, max: 8 })

const threeOrNone = fc.oneof(fc.array(float, { minLength: 3, maxLength: 3 }), fc.constant<number[]>([]))

const result: fc.Arbitrary<ResultSpec> = fc.oneof(
  fc.record({
    op: fc.constant('TreeEnsembleRegressor' as const),
    sums: fc.integer({ min: 1, max: 3 }),
    labels: fc.constant([]),
    base: threeOrNone,
    transform: fc.constant('NONE'),
    aggregate: fc.constantFrom('SUM', 'AVERAGE'),
    dense: fc.boolean(),
  }),
  fc.record({
    op: fc.constant('TreeEnsembleClassifier' as const),
    sums: fc.constant(1),
    labels: fc.constantFrom<readonly (number | string)[]>([0, 1], [-5, 2 ** 40], ['no', 'yes']),
    base: fc.array(float, { maxLength: 1 }),
    transform: fc.constantFrom('NONE', 'LOGISTIC'),
    aggregate: fc.constant('SUM'),
    dense: fc.constant(false),
  }),
  fc.record({
    op: fc.constant('TreeEnsembleClassifier' as const),
    sums: fc.constant(3),
    labels: fc.constantFrom<readonly (number | string)[]>([0, 1, 2], ['a', 'b', 'c']),
    base: threeOrNone,
    transform: fc.constantFrom('NONE', 'SOFTMAX', 'LOGISTIC'),
    aggregate: fc.constant('SUM'),
    dense: fc.boolean(),
  }),
)

/** `base` has as many values as sums where it has any. */
export const ensembles: fc.Arbitrary<EnsembleSpec> = fc
  .record({ features: fc.integer({ min: 1, max: 4 }), result, mixed: fc.boolean(), positive: fc.boolean() })
  .chain(({ features, result: drawn, mixed, positive }) => {
    const weight = positive ? float.map(Math.abs) : float
    const { tree } = fc.letrec<{ tree: TreeSpec }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium', maxDepth: 6 },
        fc.record({ weights: fc.array(weight, { minLength: 3, maxLength: 3 }) }),
        fc.record({
          mode: mixed ? fc.constantFrom(...MODES) : fc.constant('BRANCH_LEQ' as const),
          feature: fc.integer({ min: 0, max: features - 1 }),
          threshold: fc.oneof(fc.constantFrom(...THRESHOLDS), float),
          nanTrue: fc.boolean(),
          yes: tie('tree'),
          no: tie('tree'),
        }),
      ),
    }))
    const most = drawn.sums
    return fc.array(tree, { minLength: most, maxLength: 2 * most + 3 }).map((trees) => ({
      features,
      trees,
      result: { ...drawn, base: drawn.base.slice(0, drawn.sums) },
    }))
  })

/** The ensemble as an ONNX model: `input` float [N, features]; out `label` and `scores`, or `scores` alone. */
export function ensembleModel({ features, trees, result }: EnsembleSpec): Uint8Array {
  const classifies = result.op === 'TreeEnsembleClassifier'
  const weighs = classifies ? 'class' : 'target'
  const nodes = trees.flatMap((tree, id) => rows(tree, id))
  const leaves = nodes.flatMap(({ tree, node, spec }) => {
    if (!('weights' in spec)) return []
    const sums = result.dense ? Array.from({ length: result.sums }, (_, i) => i) : [tree % result.sums]
    return sums.map((sum) => ({ tree, node, sum, weight: spec.weights[sum] as number }))
  })
  const branch = <T>(of: (spec: BranchSpec) => T, leaf: T) =>
    nodes.map(({ spec }) => ('weights' in spec ? leaf : of(spec)))
  const [label] = result.labels
  const attributes: Record<string, Attribute> = {
    nodes_treeids: { ints: nodes.map(({ tree }) => tree) },
    nodes_nodeids: { ints: nodes.map(({ node }) => node) },
    nodes_featureids: { ints: branch(({ feature }) => feature, 0) },
    nodes_modes: { texts: branch<string>(({ mode }) => mode, 'LEAF') },
    nodes_values: { floats: branch(({ threshold }) => threshold, 0) },
    nodes_missing_value_tracks_true: { ints: branch(({ nanTrue }) => (nanTrue ? 1 : 0), 0) },
    nodes_truenodeids: { ints: nodes.map(({ yes }) => yes) },
    nodes_falsenodeids: { ints: nodes.map(({ no }) => no) },
    [`${weighs}_treeids`]: { ints: leaves.map(({ tree }) => tree) },
    [`${weighs}_nodeids`]: { ints: leaves.map(({ node }) => node) },
    [`${weighs}_ids`]: { ints: leaves.map(({ sum }) => sum) },
    [`${weighs}_weights`]: { floats: leaves.map(({ weight }) => weight) },
    post_transform: { text: result.transform },
    ...(result.base.length > 0 ? { base_values: { floats: result.base } } : {}),
    ...(classifies ? {} : { aggregate_function: { text: result.aggregate }, n_targets: { int: result.sums } }),
    ...(typeof label === 'number' ? { classlabels_int64s: { ints: result.labels as number[] } } : {}),
    ...(typeof label === 'string' ? { classlabels_strings: { texts: result.labels as string[] } } : {}),
  }
  const outputs = classifies ? ['label', 'scores'] : ['scores']
  return onnxModel({
    inputs: [{ name: 'input', type: 'float32', shape: ['N', features] }],
    outputs: outputs.map((name) => ({
      name,
      type: name === 'scores' ? 'float32' : typeof label === 'string' ? 'string' : 'int64',
      shape: name === 'label' ? ['N'] : ['N', Math.max(result.labels.length, result.sums)],
    })),
    nodes: [{ op: result.op, domain: 'ai.onnx.ml', inputs: ['input'], outputs, attributes }],
  })
}

interface Row {
  readonly tree: number
  readonly node: number
  readonly spec: TreeSpec
  readonly yes: number
  readonly no: number
}

/** Depth first, as exporters number them. */
function rows(spec: TreeSpec, tree: number, node = 0): Row[] {
  if ('weights' in spec) return [{ tree, node, spec, yes: 0, no: 0 }]
  const yes = rows(spec.yes, tree, node + 1)
  const no = rows(spec.no, tree, node + 1 + yes.length)
  return [{ tree, node, spec, yes: node + 1, no: node + 1 + yes.length }, ...yes, ...no]
}
