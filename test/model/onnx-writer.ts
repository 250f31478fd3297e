// Writes small ONNX models byte by byte, so that a test can have every element type and shape, and models that no exporter
// would make. Source: onnx.proto of ONNX 1.19, field numbers.
import type { TensorType } from '../../topics/models.ts'

export interface ValueInfo {
  readonly name: string
  readonly type: TensorType | 'complex64'
  /** A string is a symbolic dimension. */
  readonly shape: readonly (number | string)[]
}

export interface NodeSpec {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** `ai.onnx.ml`, or ONNX's own operators. */
  readonly domain?: string
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export type Attribute =
  | { readonly int: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly texts: readonly string[] }

export interface GraphSpec {
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly nodes: readonly NodeSpec[]
  /** A tensor whose data is in another file. */
  readonly external?: { readonly name: string; readonly location: string }
}

/** Output i is input i. */
export function identityModel(pairs: readonly { input: ValueInfo; output: ValueInfo }[]): Uint8Array {
  return onnxModel({
    inputs: pairs.map(({ input }) => input),
    outputs: pairs.map(({ output }) => output),
    nodes: pairs.map(({ input, output }) => ({ op: 'Identity', inputs: [input.name], outputs: [output.name] })),
  })
}

export function onnxModel(graph: GraphSpec): Uint8Array {
  const opset = message([bytesField(1, Buffer.from('')), varintField(2, 17)])
  const ml = message([bytesField(1, Buffer.from('ai.onnx.ml')), varintField(2, 3)])
  return message([varintField(1, 8), bytesField(7, graphBytes(graph)), bytesField(8, opset), bytesField(8, ml)])
}

const ELEMENT_TYPES: Record<ValueInfo['type'], number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
}

function graphBytes({ inputs, outputs, nodes, external }: GraphSpec): Buffer {
  return message([
    ...nodes.map((node) => bytesField(1, nodeBytes(node))),
    bytesField(2, Buffer.from('test')),
    ...(external ? [bytesField(5, externalTensor(external))] : []),
    ...inputs.map((value) => bytesField(11, valueInfo(value))),
    ...outputs.map((value) => bytesField(12, valueInfo(value))),
  ])
}

function nodeBytes({ op, inputs, outputs, domain = '', attributes = {} }: NodeSpec): Buffer {
  return message([
    ...inputs.map((name) => bytesField(1, Buffer.from(name))),
    ...outputs.map((name) => bytesField(2, Buffer.from(name))),
    bytesField(4, Buffer.from(op)),
    ...Object.entries(attributes).map(([name, value]) => bytesField(5, attributeBytes(name, value))),
    bytesField(7, Buffer.from(domain)),
  ])
}

function attributeBytes(name: string, value: Attribute): Buffer {
  const [type, fields] = attributeFields(value)
  return message([bytesField(1, Buffer.from(name)), ...fields, varintField(20, type)])
}

function attributeFields(value: Attribute): [type: number, fields: Buffer[]] {
  if ('int' in value) return [2, [varintField(3, value.int)]]
  if ('text' in value) return [3, [bytesField(4, Buffer.from(value.text))]]
  if ('ints' in value) return [7, value.ints.map((each) => varintField(8, each))]
  if ('texts' in value) return [8, value.texts.map((each) => bytesField(9, Buffer.from(each)))]
  // Packed, as exporters do not write them, and protobuf allows.
  return [6, [bytesField(7, Buffer.from(Float32Array.from(value.floats).buffer))]]
}

function valueInfo({ name, type, shape }: ValueInfo): Buffer {
  const dims = shape.map((size) =>
    bytesField(1, message([typeof size === 'number' ? varintField(1, size) : bytesField(2, Buffer.from(size))])),
  )
  const tensor = message([varintField(1, ELEMENT_TYPES[type]), bytesField(2, message(dims))])
  return message([bytesField(1, Buffer.from(name)), bytesField(2, message([bytesField(1, tensor)]))])
}

function externalTensor({ name, location }: { name: string; location: string }): Buffer {
  const entry = (key: string, value: string) =>
    bytesField(13, message([bytesField(1, Buffer.from(key)), bytesField(2, Buffer.from(value))]))
  return message([
    varintField(1, 10),
    varintField(2, ELEMENT_TYPES.uint8),
    bytesField(8, Buffer.from(name)),
    entry('location', location),
    entry('length', '10'),
    varintField(14, 1),
  ])
}

function message(fields: readonly Buffer[]): Buffer {
  return Buffer.concat(fields)
}

function varintField(field: number, value: number): Buffer {
  return Buffer.from([...varint(field * 8), ...varint(value)])
}

function bytesField(field: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value])
}

/** A negative number takes ten bytes, as the 64 bits of its two's complement. */
function varint(value: number): number[] {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, BigInt(value))
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80)
  return [...bytes, Number(left)]
}
