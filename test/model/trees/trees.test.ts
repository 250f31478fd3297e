// Decision trees by the walk, beside ONNX Runtime: the same bits, for models of the exporters that people use and for ensembles
// that nobody would train.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import asc from 'assemblyscript/asc'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import type { ModelSession, Tensor, Tensors } from '../../../src/model/model.ts'
import { openScoringSession } from '../../../src/model/scoring-session.ts'
import { openSession } from '../../../src/model/session.ts'
import { openTrees } from '../../../src/model/trees/session.ts'
import { modelBytes } from '../fixtures.ts'
import { onnxModel } from '../onnx-writer.ts'
import { type EnsembleSpec, ensembleModel, ensembles, type TreeSpec } from './random-ensemble.ts'

const EXPORTED = 'test/fixtures/models/trees'
const exported = readdirSync(EXPORTED).filter((file) => file.endsWith('.onnx'))

async function both(bytes: Uint8Array): Promise<{ runtime: ModelSession; trees: ModelSession | null }> {
  const runtime = await openSession(bytes)
  onTestFinished(() => runtime.release())
  return { runtime, trees: await openTrees(runtime, bytes) }
}

function feeds(features: number, rows: number, value: (at: number) => number): Tensors {
  const data = Float32Array.from({ length: features * rows }, (_, at) => value(at))
  return { input: { type: 'float32', dims: [rows, features], data } }
}

/** What is compared: toEqual tells 0 from -0, and one NaN is as another. */
const plain = (tensors: Tensors) =>
  Object.entries(tensors).map(([name, { type, dims, data }]) => ({ name, type, dims: [...dims], data: [...data] }))

test.for([...exported, '../../../../examples/churn/churn.onnx'])(
  '%s is walked, and predicts the same bits',
  async (file) => {
    const { runtime, trees } = await both(readFileSync(join(EXPORTED, file)))
    if (!trees) throw new Error('expected the model to be walked')
    const features = runtime.signature.inputs[0]?.shape[1] as number
    // Less than a block, a whole one, and one row more; with NaN in every seventh place, and without.
    for (const rows of [1, 7, 256, 257, 3_000]) {
      for (const gap of [Number.NaN, 0.5]) {
        const given = feeds(features, rows, (at) => (at % 7 === 3 ? gap : Math.sin(at * 12.9898) * 2))
        expect(plain(await trees.run(given))).toEqual(plain(await runtime.run(given)))
      }
    }
  },
)

test('any ensemble of comparisons is walked, and predicts the same bits', async () => {
  const values = fc.array(
    fc.oneof(fc.float(), fc.constantFrom(0, -0, 1, -1, Math.fround(0.1), 2 ** -149, Infinity, -Infinity, Number.NaN)),
    { minLength: 1, maxLength: 40 },
  )
  await fc.assert(
    fc.asyncProperty(ensembles, values, async (spec, drawn) => {
      const bytes = ensembleModel(spec)
      const runtime = await openSession(bytes)
      try {
        const trees = await openTrees(runtime, bytes)
        if (!trees) throw new Error('expected the model to be walked')
        const given = feeds(spec.features, 60, (at) => drawn[(at * 7) % drawn.length] as number)
        expect(plain(await trees.run(given))).toEqual(plain(await runtime.run(given)))
      } finally {
        await runtime.release()
      }
    }),
    { numRuns: 150 },
  )
})

const leaf = (weight: number): TreeSpec => ({ weights: [weight, weight, weight] })
const branch = (yes: TreeSpec, no: TreeSpec, feature = 0): TreeSpec => ({
  mode: 'BRANCH_LEQ',
  feature,
  threshold: 0.5,
  nanTrue: false,
  yes,
  no,
})
const regression = (...trees: TreeSpec[]): EnsembleSpec => ({
  features: 2,
  trees,
  result: {
    op: 'TreeEnsembleRegressor',
    sums: 1,
    labels: [],
    base: [],
    transform: 'NONE',
    aggregate: 'SUM',
    dense: false,
  },
})

test('a tree that is no more than a leaf, and one that is a chain', async () => {
  const chain = Array.from({ length: 60 }, (_, i) => i).reduce<TreeSpec>((tree, i) => branch(tree, leaf(i)), leaf(-1))
  const { runtime, trees } = await both(ensembleModel(regression(leaf(0.25), chain)))
  const given = feeds(2, 10, (at) => at % 2)
  expect(plain((await trees?.run(given)) as Tensors)).toEqual(plain(await runtime.run(given)))
})

test.for<[string, EnsembleSpec]>([
  [
    'deeper than it is worth',
    regression([...Array(70).keys()].reduce<TreeSpec>((tree) => branch(tree, leaf(1)), leaf(2))),
  ],
  ['of the least of the trees', { ...regression(leaf(1)), result: { ...regression().result, aggregate: 'MIN' } }],
  ['with a transform of its own', { ...regression(leaf(1)), result: { ...regression().result, transform: 'PROBIT' } }],
  [
    'of two classes that both have weights',
    {
      ...regression(branch(leaf(1), leaf(2)), leaf(3)),
      result: { ...regression().result, op: 'TreeEnsembleClassifier', sums: 2, labels: [0, 1], dense: true },
    },
  ],
])('a model %s is left to the runtime', async ([, spec]) => {
  expect((await both(ensembleModel(spec))).trees).toBeNull()
})

test('a model of something else, or of trees and something else, is left to the runtime', async () => {
  for (const file of ['linear', 'per-column', 'booleans', 'picky', 'wide']) {
    expect((await both(modelBytes(`test/fixtures/models/${file}.onnx`))).trees, file).toBeNull()
  }
  const value = (name: string) => ({ name, type: 'float32' as const, shape: ['N', 1] })
  const abs = onnxModel({
    inputs: [value('input')],
    outputs: [value('y')],
    nodes: [{ op: 'Abs', inputs: ['input'], outputs: ['y'] }],
  })
  expect((await both(abs)).trees).toBeNull()
})

test('a model whose bytes cannot be read again is left to the runtime', async () => {
  const bytes = readFileSync(join(EXPORTED, 'xgboost-number.onnx'))
  const { runtime } = await both(bytes)
  expect(await openTrees(runtime, bytes.subarray(0, 1_000))).toBeNull()
})

test('a model is left to the runtime where one bit of one prediction differs', async () => {
  const bytes = readFileSync(join(EXPORTED, 'xgboost-number.onnx'))
  const { runtime, trees } = await both(bytes)
  expect(trees).not.toBeNull()
  const another: ModelSession = {
    ...runtime,
    run: async (given) => {
      const right = await runtime.run(given)
      const bits = new Int32Array(((right.variable as Tensor).data as Float32Array).buffer)
      bits[500] = (bits[500] as number) ^ 1
      return right
    },
  }
  expect(await openTrees(another, bytes)).toBeNull()
})

test('only what is asked for is computed, and nothing after the release', async () => {
  const session = await openScoringSession(readFileSync(join(EXPORTED, 'xgboost-3.onnx')), ['cpu'])
  const given = feeds(5, 3, (at) => at)
  expect(Object.keys(await session.run(given, ['label']))).toEqual(['label'])
  await session.release()
  await expect(session.run(given)).rejects.toMatchObject({ code: 'session_released' })
})

test('a scorer walks trees, and has the runtime for everything else', async () => {
  const trees = await openScoringSession(readFileSync(join(EXPORTED, 'xgboost-3.onnx')), ['cpu'])
  onTestFinished(() => trees.release())
  // The runtime throws words of its own for a tensor of another width.
  await expect(trees.run(feeds(4, 1, () => 1))).rejects.toThrow('expected input as float32 [N, 5]')
  const linear = await openScoringSession(modelBytes('test/fixtures/models/linear.onnx'), ['cpu'])
  onTestFinished(() => linear.release())
  await expect(linear.run(feeds(4, 1, () => 1))).rejects.toThrow(/input/)
})

test('walk.wasm is what its source compiles to: npm run kernel', async () => {
  const folder = 'src/model/trees'
  const script = JSON.parse(readFileSync('package.json', 'utf8')).scripts.kernel as string
  const args = script.replace('asc ', '').replace(`${folder}/walk.wasm`, 'walk.wasm').split(' ')
  const written = new Map<string, Uint8Array | string>()
  const { error, stderr } = await asc.main(args, {
    writeFile: (name, contents) => void written.set(name, contents),
  })
  expect(error, String(stderr)).toBeNull()
  expect(Buffer.from(written.get('walk.wasm') as Uint8Array)).toEqual(readFileSync(join(folder, 'walk.wasm')))
})
