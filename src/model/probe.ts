// Learns at registration what a model really gives back, by scoring a few made-up rows: exporters leave dimensions open or
// declare them wrong, and a job must know its columns before it starts.
import type { Problem } from '../../connectors/connector.ts'
import type { TensorSpec, TensorType } from '../../topics/models.ts'
import { describeTensor, planInputs } from './features.ts'
import { toHalf } from './float16.ts'
import { ModelError, type ModelSession, type TensorData, type Tensors } from './model.ts'
import { newTensorData } from './tensor-data.ts'

/** A number of rows that no fixed dimension is likely to have, so that [7] is a batch and [1] or [2] is not. */
const PROBE_ROWS = 7

/** A table can hold no more columns than this (PostgreSQL: 1,600), and predictions must end up in one. */
const MAX_PREDICTIONS = 1_600

/**
 * The model's outputs with every shape [-1] or [-1, K]. Rows of zeros are scored, then rows of ones should the model refuse
 * zeros; if it refuses both, what it declares must do. Problems have the pointer `/outputs`.
 * `features` are those that `validateFeatures` returned.
 */
export async function probeOutputs(
  session: ModelSession,
  features: readonly string[],
): Promise<{ outputs: TensorSpec[] } | { problems: Problem[] }> {
  const declared = session.signature.outputs
  const probed = await probe(session, features)
  const results = declared.map((output) => {
    if ('dims' in probed) return fromProbe(output, probed.dims[output.name] ?? [])
    return fromDeclaration(output, probed.said)
  })
  const problems = results.flatMap((result) => ('detail' in result ? [unsupported(result.detail)] : []))
  const outputs = results.flatMap((result) => ('name' in result ? [result] : []))
  const columns = outputs.reduce((sum, output) => sum + (output.shape[1] ?? 1), 0)
  if (columns > MAX_PREDICTIONS) {
    problems.push(unsupported(`the model predicts ${columns} columns, expected at most ${MAX_PREDICTIONS}`))
  }
  return problems.length > 0 ? { problems } : { outputs }
}

type Probed = { dims: Record<string, readonly number[]> } | { said: string }

async function probe(session: ModelSession, features: readonly string[]): Promise<Probed> {
  let said = ''
  for (const value of [0, 1] as const) {
    try {
      const result = await session.run(probeFeeds(session, features, value))
      return { dims: Object.fromEntries(Object.entries(result).map(([name, tensor]) => [name, tensor.dims])) }
    } catch (error) {
      if (!(error instanceof ModelError) || error.code !== 'run_failed') throw error
      said ||= error.message
    }
  }
  return { said }
}

function probeFeeds(session: ModelSession, features: readonly string[], value: 0 | 1): Tensors {
  return Object.fromEntries(
    planInputs(session.signature, features).map(({ name, type, shape, columns }) => {
      const dims = shape === 'vector' ? [PROBE_ROWS] : [PROBE_ROWS, columns.length]
      return [name, { type, dims, data: repeated(type, PROBE_ROWS * columns.length, value) }]
    }),
  )
}

function repeated(type: TensorType, length: number, value: 0 | 1): TensorData {
  const data = newTensorData(type, length)
  if (value === 0) return data
  if (type === 'string') return Array.from({ length }, () => '1')
  if (type === 'float16') return toHalf(new Float32Array(length).fill(1))
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return data.fill(1n)
  return (data as Float32Array).fill(1)
}

function fromProbe(output: TensorSpec, dims: readonly number[]): TensorSpec | { detail: string } {
  const [rows, width] = dims
  if (rows === PROBE_ROWS && dims.length === 1) return { ...output, shape: [-1] }
  if (rows === PROBE_ROWS && dims.length === 2 && width !== undefined) return { ...output, shape: [-1, width] }
  return {
    detail: `output ${describeTensor(output)} has the shape [${dims.join(', ')}] for ${PROBE_ROWS} rows; expected [N] or [N, K], one prediction for each row`,
  }
}

function fromDeclaration(output: TensorSpec, said: string): TensorSpec | { detail: string } {
  const [rows, width] = output.shape
  if (rows === -1 && output.shape.length === 1) return output
  if (rows === -1 && output.shape.length === 2 && width !== undefined && width >= 0) return output
  return {
    detail: `output ${describeTensor(output)} leaves its shape open, and scoring rows of zeros and of ones to learn it failed: ${said}; export the model with shapes like [N, 2]`,
  }
}

function unsupported(detail: string): Problem {
  return { code: 'unsupported_output', pointer: '/outputs', detail }
}
