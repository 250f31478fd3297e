// Opens ONNX models: at registration to learn their signature, in the scorer to run them. The only file that imports
// ONNX Runtime.
import { InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node'
import { TENSOR_TYPES, type TensorSpec, type TensorType } from '../../topics/models.ts'
import { refuseExternalData } from './external-data.ts'
import { ModelError, type ModelSession, type Tensor, type Tensors } from './model.ts'

export { ModelError, type ModelSession } from './model.ts'

export interface SessionOptions {
  /** ONNX Runtime's names, best first, e.g. `['cuda', 'cpu']`. Default: `['cpu']`. */
  readonly executionProviders?: readonly string[]
  /** Threads within one run. Default: 1. */
  readonly intraOpThreads?: number
}

/**
 * Loads a model. Throws `ModelError`: `model_invalid` (no ONNX, or one that this runtime cannot run), `unsupported_input`,
 * `unsupported_output` (not a tensor, or elements of a type the service has no column for), `provider_unavailable`.
 *
 * `run` computes on the calling thread (onnxruntime-node 1.30: 200,000 rows of a boosted-trees model hold the event loop
 * for all of their 217 ms), so one process scores one chunk at a time; more cores are more scorer processes.
 */
export async function openSession(bytes: Uint8Array, options: SessionOptions = {}): Promise<ModelSession> {
  const session = await load(bytes, options)
  try {
    const signature = {
      inputs: session.inputMetadata.map((value) => tensorSpec(value, 'unsupported_input')),
      outputs: session.outputMetadata.map((value) => tensorSpec(value, 'unsupported_output')),
    }
    let released = false
    return {
      signature,
      run: async (feeds, fetches) => {
        if (released) throw new ModelError('session_released', 'the model was released before this run')
        return run(session, feeds, fetches)
      },
      release: async () => {
        if (released) return
        released = true
        await session.release()
      },
    }
  } catch (error) {
    await session.release()
    throw error
  }
}

async function load(bytes: Uint8Array, options: SessionOptions): Promise<InferenceSession> {
  const providers = options.executionProviders ?? ['cpu']
  checkProviders(providers)
  refuseForeign(bytes)
  refuseExternalData(bytes)
  try {
    return await InferenceSession.create(bytes, {
      executionProviders: [...providers],
      // One thread a process: the parallelism is in the scorers, and a replay gives the same bytes on every machine (the
      // last digit of a sum over trees depends on how many threads share it). Two threads take 9.0 ms for 4,000 rows
      // through 100 trees where one takes 5.3 ms, at twice the CPU, as soon as another process wants the second core.
      intraOpNumThreads: options.intraOpThreads ?? 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      // Without the arena a run of 1,000 rows takes 1.8 ms instead of 1.3 ms.
      enableCpuMemArena: true,
      // Fatal only: a run that fails throws its message, and bisecting a chunk would print it once for each half.
      logSeverityLevel: 4,
    })
  } catch (error) {
    throw loadError(error, providers)
  }
}

/** An identity of one number: the smallest model that makes the runtime load its execution providers. */
const SMALLEST_MODEL = Buffer.from(
  'CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBE=',
  'base64',
)

/**
 * Throws `ModelError` `provider_unavailable` unless every execution provider can be used here. A scorer asks before it joins
 * its pool: a GPU that is not there must not fail the jobs, nor be taken for one that is.
 */
export async function requireProviders(providers: readonly string[]): Promise<void> {
  await (await load(SMALLEST_MODEL, { executionProviders: providers })).release()
}

/** The runtime drops names that it does not know without a word, and a GPU pool would then score on the CPU. */
function checkProviders(providers: readonly string[]): void {
  const known = listSupportedBackends().map(({ name }) => name)
  const unknown = providers.filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  throw new ModelError(
    'provider_unavailable',
    `execution provider ${unknown.join(', ')}: expected one of ${known.join(', ')}, which this ONNX Runtime has`,
  )
}

function loadError(error: unknown, providers: readonly string[]): ModelError {
  const said = runtimeMessage(error)
  if (providers.some((name) => name !== 'cpu') && /provider|cuda|cudnn|tensorrt|webgpu/i.test(said)) {
    const message = `execution providers ${providers.join(', ')}: expected them to be installed; ONNX Runtime says: ${said}`
    return new ModelError('provider_unavailable', message, { cause: error })
  }
  return new ModelError('model_invalid', `ONNX Runtime cannot load this model: ${said}`, { cause: error })
}

/** What people upload by mistake, told by the first bytes, with what to do instead. */
function refuseForeign(bytes: Uint8Array): void {
  const start = Buffer.from(bytes.subarray(0, 4)).toString('latin1')
  let got: string | undefined
  if (bytes.length === 0) got = 'no bytes'
  else if (bytes[0] === 0x80 && (bytes[1] as number) <= 5)
    got = 'a Python pickle; export the model with skl2onnx or onnxmltools'
  else if (start.startsWith('PK')) got = 'a zip archive; export a PyTorch model with torch.onnx.export'
  else if (start === '\x89HDF') got = 'an HDF5 file; export a Keras model with tf2onnx'
  else if (start.startsWith('\x1f\x8b')) got = 'a gzip file; send it unpacked'
  if (got) throw new ModelError('model_invalid', `expected an ONNX model, got ${got}`)
}

function tensorSpec(
  value: InferenceSession.ValueMetadata,
  code: 'unsupported_input' | 'unsupported_output',
): TensorSpec {
  const what = code === 'unsupported_input' ? 'input' : 'output'
  if (!value.isTensor) {
    const zipmap = "for scikit-learn, export with zipmap off: to_onnx(…, options={'zipmap': False})"
    throw new ModelError(code, `expected tensors, but ${what} ${value.name} is a sequence or map; ${zipmap}`)
  }
  if (!isTensorType(value.type)) {
    throw new ModelError(code, `${what} ${value.name}: expected one of ${TENSOR_TYPES.join(', ')}, got ${value.type}`)
  }
  return {
    name: value.name,
    type: value.type,
    shape: value.shape.map((size) => (typeof size === 'number' ? size : -1)),
  }
}

function isTensorType(type: string): type is TensorType {
  return (TENSOR_TYPES as readonly string[]).includes(type)
}

async function run(session: InferenceSession, feeds: Tensors, fetches?: readonly string[]): Promise<Tensors> {
  const given: Record<string, OrtTensor> = {}
  for (const [name, tensor] of Object.entries(feeds)) {
    given[name] = toOrt(tensor)
  }
  let taken: InferenceSession.OnnxValueMapType
  try {
    taken = await (fetches ? session.run(given, fetches) : session.run(given))
  } catch (error) {
    const said = runtimeMessage(error)
    throw new ModelError(runErrorCode(said), said, { cause: error })
  }
  const result: Record<string, Tensor> = {}
  for (const [name, tensor] of Object.entries(taken)) result[name] = fromOrt(tensor)
  return result
}

/** What a run that failed is to blame for: memory, a device that is lost with all that is on it, or else a row or the model. */
function runErrorCode(said: string): 'out_of_memory' | 'device_failed' | 'run_failed' {
  if (/bad_alloc|out of memory|failed to allocate|BFCArena/i.test(said)) return 'out_of_memory'
  return /^.*(CUDA|CUDNN|CUBLAS)( failure| error)/im.test(said) ? 'device_failed' : 'run_failed'
}

function toOrt({ type, data, dims }: Tensor): OrtTensor {
  const tensor = new OrtTensor(type, data as OrtTensor.DataType, dims)
  // The binding takes Node's Float16Array, which the constructor made of the bits, for one of no length; the bits
  // themselves it reads (microsoft/onnxruntime pull request 32323, open with 1.30).
  return type === 'float16' ? Object.assign(tensor, { cpuData: data }) : tensor
}

function fromOrt(tensor: OrtTensor): Tensor {
  const { dims, data } = tensor
  // Half precision comes as Node's Float16Array, whatever the declared type says.
  if (tensor.type === 'float16' && !(data instanceof Uint16Array)) {
    const view = data as unknown as { buffer: ArrayBuffer; byteOffset: number; length: number }
    return { type: 'float16', dims, data: new Uint16Array(view.buffer, view.byteOffset, view.length) }
  }
  return { type: tensor.type as TensorType, dims, data }
}

function runtimeMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
