// The typed array behind each tensor type; strings are plain arrays.
import type { TensorType } from '../../topics/models.ts'
import type { TensorData } from './model.ts'

export const TENSOR_ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const

/** `length` elements: zeros, or empty strings. */
export function newTensorData(type: TensorType, length: number): TensorData {
  return type === 'string' ? new Array<string>(length).fill('') : new TENSOR_ARRAYS[type](length)
}
