// A model of decision trees scored by the walk instead of ONNX Runtime, which follows one branch after the other: the same
// predictions to the bit in a half to a fourteenth of the time. Whether they are the same is tried on each model that is opened.
import { ModelError, type ModelSession, type Signature, type Tensor, type Tensors } from '../model.ts'
import { ensembleOf, type TreeEnsemble } from './ensemble.ts'
import { newPredictions } from './head.ts'
import { readGraph } from './onnx-graph.ts'
import { samplesOf } from './samples.ts'
import { openWalk, type Walk } from './walk.ts'

/**
 * A session that walks the trees of the model that `runtime` has opened from `bytes`, or null where the model is not made of
 * trees alone, where they cannot be laid out, or where as much as one bit of a prediction differs for rows that go either way
 * at its thresholds. `runtime` stays the caller's, and is not needed by the new session.
 */
export async function openTrees(runtime: ModelSession, bytes: Uint8Array): Promise<ModelSession | null> {
  const opened = walkOf(runtime.signature, bytes)
  if (!opened) return null
  const { ensemble, walk } = opened
  const trees = treeSession(runtime.signature, ensemble, walk)
  return (await agree(runtime, trees, ensemble)) ? trees : null
}

function walkOf(signature: Signature, bytes: Uint8Array): { ensemble: TreeEnsemble; walk: Walk } | null {
  try {
    const ensemble = ensembleOf(readGraph(bytes), signature)
    const walk = ensemble && openWalk(ensemble)
    return ensemble && walk && { ensemble, walk }
  } catch {
    // Bytes that one parser reads and another does not, or no memory for the walk: the runtime has the model open.
    return null
  }
}

function treeSession(signature: Signature, ensemble: TreeEnsemble, walk: Walk): ModelSession {
  const [input] = signature.inputs
  let released = false
  return {
    signature,
    run: async (feeds, fetches = signature.outputs.map(({ name }) => name)) => {
      if (released) throw new ModelError('session_released', 'the model was released before this run')
      const data = feeds[input?.name ?? '']?.data
      if (!(data instanceof Float32Array) || data.length % ensemble.features !== 0) {
        throw new ModelError('run_failed', `expected ${input?.name} as float32 [N, ${ensemble.features}]`)
      }
      return predict(ensemble, walk, data, fetches)
    },
    release: async () => {
      released = true
    },
  }
}

function predict(ensemble: TreeEnsemble, walk: Walk, data: Float32Array, fetches: readonly string[]): Tensors {
  const { features, outputs } = ensemble
  const rows = data.length / features
  const predictions = newPredictions(ensemble, rows)
  for (let first = 0; first < rows; first += walk.blockRows) {
    const count = Math.min(walk.blockRows, rows - first)
    const sums = walk.sums(data.subarray(first * features, (first + count) * features))
    predictions.add(sums, walk.blockRows, first, count)
  }
  return Object.fromEntries(
    fetches.map((name) => [name, outputs.get(name) === 'label' ? predictions.label() : predictions.scores()]),
  )
}

/** Whether both give the same bits. A model that the runtime cannot run even over these rows is left to it. */
async function agree(runtime: ModelSession, trees: ModelSession, ensemble: TreeEnsemble): Promise<boolean> {
  const data = samplesOf(ensemble)
  const [input] = runtime.signature.inputs
  const dims = [data.length / ensemble.features, ensemble.features]
  const feeds: Tensors = { [input?.name ?? '']: { type: 'float32', dims, data } }
  let wanted: Tensors
  try {
    wanted = await runtime.run(feeds)
  } catch (error) {
    if (error instanceof ModelError) return false
    throw error
  }
  const got = await trees.run(feeds)
  return Object.entries(wanted).every(([name, tensor]) => sameTensor(tensor, got[name]))
}

function sameTensor(a: Tensor, b: Tensor | undefined): boolean {
  if (b?.type !== a.type || String(a.dims) !== String(b.dims)) return false
  if (!ArrayBuffer.isView(a.data) || !ArrayBuffer.isView(b.data)) return String(a.data) === String(b.data)
  return Buffer.from(bytesOf(a.data)).equals(bytesOf(b.data))
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
}
