// Finds models that refer to other files, before the runtime sees them. ONNX Runtime reads such files from the process's
// working directory (measured with 1.30: an uploaded model that named `package.json` gave its text back as a prediction),
// so a model must bring all of its weights along.
// Source: onnx.proto of ONNX 1.19, field numbers; protobuf encoding.
import { ModelError } from './model.ts'

type Message = 'model' | 'training' | 'graph' | 'function' | 'node' | 'attribute' | 'sparse' | 'tensor'

/** The fields through which a tensor can be reached, by number. */
const FIELDS: Record<Message, Readonly<Record<number, Message>>> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
}

const TENSOR_EXTERNAL_DATA = 13
const TENSOR_DATA_LOCATION = 14

/** Subgraphs within subgraphs: more than any exporter makes, and far from the end of the stack. */
const MAX_DEPTH = 100

/**
 * Throws `ModelError` `model_invalid` when some tensor's data lies outside of these bytes, and for bytes that are no
 * protobuf, so that nothing can hide from this check in what another parser would forgive.
 */
export function refuseExternalData(bytes: Uint8Array): void {
  // ONNX Runtime's own format, which is no protobuf and may point to files as well.
  if (Buffer.from(bytes.subarray(4, 8)).toString('latin1') === 'ORTM') {
    throw new ModelError(
      'model_invalid',
      'expected an ONNX model, got one in ONNX Runtime format (.ort); send the .onnx file',
    )
  }
  walk(bytes, 0, bytes.length, 'model', 0)
}

function walk(bytes: Uint8Array, start: number, end: number, message: Message, depth: number): void {
  if (depth > MAX_DEPTH) throw malformed()
  let at = start
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined || at > end) throw malformed()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw malformed()
  }
  while (at < end) {
    const tag = varint()
    // Parsers keep 32 bits of a tag, so a longer one would be another field to them.
    if (tag >= 2 ** 32) throw malformed()
    const field = Math.floor(tag / 8)
    if (message === 'tensor' && (field === TENSOR_EXTERNAL_DATA || field === TENSOR_DATA_LOCATION)) {
      refuseLocation(field, tag, varint)
      continue
    }
    const length = skipped(tag % 8, varint)
    if (at + length > end) throw malformed()
    const inner = FIELDS[message][field]
    if (inner && tag % 8 === 2) walk(bytes, at, at + length, inner, depth + 1)
    at += length
  }
}

/** Bytes of a field's value that follow; a varint has been read already. */
function skipped(wireType: number, varint: () => number): number {
  switch (wireType) {
    case 0:
      varint()
      return 0
    case 1:
      return 8
    case 2:
      return varint()
    case 5:
      return 4
    default:
      throw malformed()
  }
}

/** `data_location` 0 says that the data is inside, which is fine. */
function refuseLocation(field: number, tag: number, varint: () => number): void {
  if (field === TENSOR_DATA_LOCATION && tag % 8 === 0 && varint() === 0) return
  throw new ModelError(
    'model_invalid',
    'expected a model in one file, got one that keeps tensors in other files (external data); save it with save_as_external_data=False',
  )
}

function malformed(): ModelError {
  return new ModelError('model_invalid', 'expected an ONNX model, got bytes that are no whole protobuf message')
}
