// Half precision to single and back, by Node's Float16Array (Node 24; the TypeScript library we compile against does not
// declare it). Tensors carry the bits; columns have no half precision.

interface HalfArray {
  readonly buffer: ArrayBuffer
  readonly byteOffset: number
  readonly length: number
}

interface HalfArrayConstructor {
  new (values: Float32Array): HalfArray & ArrayLike<number>
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): HalfArray & ArrayLike<number>
}

const { Float16Array } = globalThis as unknown as { Float16Array: HalfArrayConstructor }

/** Bits of the nearest half-precision numbers; beyond ±65504 they are infinite. */
export function toHalf(values: Float32Array): Uint16Array {
  const half = new Float16Array(values)
  return new Uint16Array(half.buffer, half.byteOffset, half.length)
}

export function fromHalf(bits: Uint16Array): Float32Array {
  return Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length))
}
