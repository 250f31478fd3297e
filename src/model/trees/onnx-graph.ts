// Reads a model's graph out of its protobuf: nodes with their attributes, nothing of what only the runtime needs.
// Source: onnx.proto of ONNX 1.19, field numbers.
import protobuf from 'protobufjs/minimal.js'

type Reader = protobuf.Reader

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[]
  /** The constants that are one float32 each, by name. */
  readonly scalars: ReadonlyMap<string, number>
  readonly outputs: readonly string[]
}

export interface OnnxNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, OnnxAttribute>
}

/** Only the field that the attribute's type asks for has anything in it. An integer beyond 2^53 is not exact. */
export interface OnnxAttribute {
  readonly int: number
  readonly text: string
  readonly floats: readonly number[]
  readonly ints: readonly number[]
  readonly texts: readonly string[]
}

/** Reads the graph of a model that the runtime has opened. Throws when the bytes are no whole protobuf message. */
export function readGraph(bytes: Uint8Array): OnnxGraph {
  let graph: OnnxGraph | undefined
  eachField(protobuf.Reader.create(bytes), (field, reader) => {
    if (field !== 7) return false
    graph = graphOf(inner(reader))
    return true
  })
  if (!graph) throw new Error('expected a model with a graph')
  return graph
}

function graphOf(reader: Reader): OnnxGraph {
  const nodes: OnnxNode[] = []
  const scalars = new Map<string, number>()
  const outputs: string[] = []
  eachField(reader, (field, of) => {
    if (field === 1) nodes.push(nodeOf(inner(of)))
    else if (field === 5) addScalar(scalars, inner(of))
    else if (field === 12) outputs.push(nameOf(inner(of)))
    else return false
    return true
  })
  return { nodes, scalars, outputs }
}

function nodeOf(reader: Reader): OnnxNode {
  const node = { op: '', inputs: [] as string[], outputs: [] as string[], attributes: new Map<string, OnnxAttribute>() }
  eachField(reader, (field, of) => {
    if (field === 1) node.inputs.push(of.string())
    else if (field === 2) node.outputs.push(of.string())
    else if (field === 4) node.op = of.string()
    else if (field === 5) addAttribute(node.attributes, inner(of))
    else return false
    return true
  })
  return node
}

function addAttribute(attributes: Map<string, OnnxAttribute>, reader: Reader): void {
  let name = ''
  const texts = new Map<string, string>()
  const attribute = { int: 0, text: '', floats: [] as number[], ints: [] as number[], texts: [] as string[] }
  eachField(reader, (field, of, wireType) => {
    if (field === 1) name = of.string()
    else if (field === 3) attribute.int = integer(of)
    else if (field === 4) attribute.text = of.string()
    else if (field === 7) repeated(of, wireType, () => attribute.floats.push(of.float()))
    else if (field === 8) repeated(of, wireType, () => attribute.ints.push(integer(of)))
    else if (field === 9) attribute.texts.push(known(texts, of.string()))
    else return false
    return true
  })
  attributes.set(name, attribute)
}

const FLOAT = 1
/** A name and a few fields: the weights of a network are not even looked at. */
const MAX_SCALAR_BYTES = 1_024

function addScalar(scalars: Map<string, number>, reader: Reader): void {
  if (reader.len > MAX_SCALAR_BYTES) return
  const tensor = { type: 0, name: '', floats: [] as number[], raw: new Uint8Array() as Uint8Array }
  eachField(reader, (field, of, wireType) => {
    if (field === 2) tensor.type = of.int32()
    else if (field === 4) repeated(of, wireType, () => tensor.floats.push(of.float()))
    else if (field === 8) tensor.name = of.string()
    else if (field === 9) tensor.raw = of.bytes()
    else return false
    return true
  })
  if (tensor.type !== FLOAT) return
  const [only, ...others] = tensor.floats
  if (tensor.raw.length === 4) scalars.set(tensor.name, Buffer.from(tensor.raw).readFloatLE())
  else if (only !== undefined && others.length === 0) scalars.set(tensor.name, only)
}

function nameOf(reader: Reader): string {
  let name = ''
  eachField(reader, (field, of) => {
    if (field !== 1) return false
    name = of.string()
    return true
  })
  return name
}

/** The same string for the same text: a forest says BRANCH_LEQ a million times. */
function known(texts: Map<string, string>, text: string): string {
  const before = texts.get(text)
  if (before === undefined) texts.set(text, text)
  return before ?? text
}

/** Calls `take` for each field of a message; a field that it does not take (false) is skipped. */
function eachField(reader: Reader, take: (field: number, reader: Reader, wireType: number) => boolean): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (!take(tag >>> 3, reader, tag & 7)) reader.skipType(tag & 7)
  }
}

function inner(reader: Reader): Reader {
  return protobuf.Reader.create(reader.bytes())
}

/** The values of a repeated number, packed into one field or each in its own. */
function repeated(reader: Reader, wireType: number, take: () => unknown): void {
  if (wireType !== 2) {
    take()
    return
  }
  const end = reader.uint32() + reader.pos
  while (reader.pos < end) take()
}

/** A 64-bit integer as a number; the library gives an object for it where it can. */
function integer(reader: Reader): number {
  const value = reader.int64() as unknown as number | { toNumber(): number }
  return typeof value === 'number' ? value : value.toNumber()
}
