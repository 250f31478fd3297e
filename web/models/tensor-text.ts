// A tensor of a model's signature in a line: input float32[any, 3]. Pure.
import type { Model } from '../client/types.ts'

export function tensorText({ name, type, shape }: Model['inputs'][number]): string {
  return `${name} ${type}[${shape.map((size) => (size < 0 ? 'any' : size)).join(', ')}]`
}

/** The id that a file's name suggests: Churn Model v2.onnx → churn-model-v2. */
export function idOfFile(name: string): string {
  return name
    .replace(/\.onnx$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|-+$/g, '')
}
