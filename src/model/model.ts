// What a model is to the rest of the service: its signature, the tensors that go in and out, a session that runs it,
// and the errors that all of them raise. Only session.ts knows which runtime is behind it.
import type { TensorSpec, TensorType } from '../../topics/models.ts'

/** A model's inputs and outputs. In a shape, -1 is a dimension that the model leaves open; `[]` is a shape it does not tell. */
export interface Signature {
  inputs: TensorSpec[]
  outputs: TensorSpec[]
}

/** Elements in row-major order. `bool` is one byte an element (0 or 1), `float16` the bits of IEEE half precision. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly string[]

export interface Tensor {
  readonly type: TensorType
  readonly dims: readonly number[]
  readonly data: TensorData
}

/** Tensors by the name of the model's input or output. */
export type Tensors = Readonly<Record<string, Tensor>>

/** A loaded model. */
export interface ModelSession {
  readonly signature: Signature
  /**
   * Runs the model once. `feeds` names every input and is only read; `fetches` are the outputs to compute, all of them by
   * default. The result belongs to the caller. Throws `ModelError`: `out_of_memory`, `session_released`, `device_failed` (a
   * GPU is lost with all that is on it), or `run_failed` with the runtime's own words (then a row may be at fault).
   */
  run(feeds: Tensors, fetches?: readonly string[]): Promise<Tensors>
  /** Frees the model's memory. Later runs throw `session_released`; a second release does nothing. */
  release(): Promise<void>
}

export type ModelErrorCode =
  | 'model_invalid'
  | 'unsupported_input'
  | 'unsupported_output'
  | 'provider_unavailable'
  | 'run_failed'
  | 'out_of_memory'
  | 'memory_exceeded'
  | 'model_crashed'
  | 'model_too_slow'
  | 'device_failed'
  | 'session_released'
  | 'output_shape'
  | 'model_missing'
  | 'model_corrupt'
  | 'model_store_unavailable'
  | 'model_store_unsupported'

/**
 * What models and their store throw. None of them passes by itself but `model_store_unavailable`; `out_of_memory` may not come
 * on another machine or with a smaller batch.
 */
export class ModelError extends Error {
  readonly code: ModelErrorCode

  constructor(code: ModelErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ModelError'
    this.code = code
  }
}
