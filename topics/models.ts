// models.v1: registered models. Key: tenant_id/model_id@version (two tenants may use one name). Partition: murmur2(tenant_id).
import { avroCodec, wordOf } from './avro.ts'
import { compactedTopic } from './topic.ts'

export const modelsTopic = compactedTopic('models.v1')

/**
 * Element types of a model's tensors that the service can feed or read, as ONNX Runtime names them.
 */
export const TENSOR_TYPES = [
  'float32',
  'float64',
  'float16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
  'string',
] as const
export type TensorType = (typeof TENSOR_TYPES)[number]

/** One input or output. `shape` has the dimensions; -1 is any size (the batch). */
export interface TensorSpec {
  name: string
  type: TensorType
  shape: number[]
}

/** A version of a model. `features` are the query columns, in order, of a single-tensor input; else empty. */
export interface ModelRecord {
  tenant_id: string
  model_id: string
  version: number
  sha256: string
  bytes: bigint
  /** Where the bytes are: a name in the model store. */
  location: string
  inputs: TensorSpec[]
  outputs: TensorSpec[]
  features: string[]
  registered_at: bigint
}

export function modelKey(model: Pick<ModelRecord, 'tenant_id' | 'model_id' | 'version'>): string {
  return `${model.tenant_id}/${model.model_id}@${model.version}`
}

const tensor = {
  type: 'record',
  name: 'TensorSpec',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'type', ...wordOf(TENSOR_TYPES) },
    { name: 'shape', type: { type: 'array', items: 'int' } },
  ],
}

export const modelCodec = avroCodec<ModelRecord>({
  type: 'record',
  name: 'ModelRecord',
  namespace: 'scoreline',
  fields: [
    { name: 'tenant_id', type: 'string' },
    { name: 'model_id', type: 'string' },
    { name: 'version', type: 'int' },
    { name: 'sha256', type: 'string' },
    { name: 'bytes', type: 'long' },
    { name: 'location', type: 'string' },
    { name: 'inputs', type: { type: 'array', items: tensor } },
    { name: 'outputs', type: { type: 'array', items: 'TensorSpec' } },
    { name: 'features', type: { type: 'array', items: 'string' } },
    { name: 'registered_at', type: 'long' },
  ],
} as never)
