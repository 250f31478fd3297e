// Which query columns a model takes, decided at registration: the `features` of a model with one tensor [N, F], or the
// names of its inputs when there is one for each column.
import type { Problem } from '../../connectors/connector.ts'
import type { TensorSpec } from '../../topics/models.ts'
import type { Signature } from './model.ts'
import type { PlanInput } from './scoring-plan.ts'
import { duplicates } from './scoring-plan.ts'

/**
 * Checks a model's inputs and the `features` given with it; returns the features to store, empty for a model with one input
 * per column. Pointers are `/inputs` (the model is not one that columns can feed) and `/features`.
 *
 * A model whose only input is [N, 1] may be either: with one feature named it takes that column, else its input's name.
 */
export function validateFeatures(
  signature: Signature,
  features: readonly string[] | undefined,
): { features: string[] } | { problems: Problem[] } {
  const shapes = signature.inputs.flatMap((input) => shapeProblem(input, signature.inputs.length) ?? [])
  if (signature.inputs.length === 0) shapes.push('the model has no inputs, so no column could reach it')
  if (shapes.length > 0) {
    return { problems: shapes.map((detail) => ({ code: 'unsupported_input', pointer: '/inputs', detail })) }
  }

  const names = (features ?? []).map((name) => name.trim())
  const faults = featureFaults(signature.inputs, names)
  if (faults.length > 0) {
    return { problems: faults.map((detail) => ({ code: 'features_invalid', pointer: '/features', detail })) }
  }
  return { features: names }
}

/** The inputs of a model that `validateFeatures` accepted, each with its columns. */
export function planInputs(signature: Signature, features: readonly string[]): PlanInput[] {
  return signature.inputs.map(({ name, type, shape }) => {
    if (features.length > 0) return { name, type, shape: 'matrix', columns: features }
    return { name, type, shape: shape.length === 1 ? 'vector' : 'column', columns: [name] }
  })
}

/** `name: type[shape]`, with N for the first open dimension and ? for others. */
export function describeTensor({ name, type, shape }: TensorSpec): string {
  const sizes = shape.map((size, i) => (size >= 0 ? size : i === 0 ? 'N' : '?'))
  return `${name}: ${type}[${sizes.join(', ')}]`
}

function shapeProblem(input: TensorSpec, inputs: number): string | undefined {
  const [batch, width] = input.shape
  const what = `input ${describeTensor(input)}`
  if (batch === undefined) return `${what} does not tell its shape; export the model with shapes like [N, 3]`
  if (input.shape.length > 2)
    return `${what} has ${input.shape.length} dimensions; columns can feed [N], [N, 1] or [N, F]`
  if (batch !== -1) {
    return `${what} takes exactly ${batch} rows a run; export the model with an open first dimension (for PyTorch: dynamic_axes or dynamic_shapes)`
  }
  if (inputs > 1 && width !== undefined && width !== 1) {
    return `${what} is one of ${inputs} inputs; a model takes either one tensor [N, F] or one input [N, 1] for each column`
  }
  if (width === 0) return `${what} takes no columns`
  return undefined
}

function featureFaults(inputs: readonly TensorSpec[], names: readonly string[]): string[] {
  const [first] = inputs as [TensorSpec, ...TensorSpec[]]
  const width = first.shape[1] ?? 1
  if (inputs.length > 1 || (width === 1 && names.length === 0)) {
    if (names.length === 0) return []
    const wanted = inputs.map((input) => input.name).join(', ')
    return [`this model takes one input for each column, by name (${wanted}); leave ?features= out`]
  }

  const faults: string[] = []
  if (names.length === 0) {
    const count = width === -1 ? '' : `${width} `
    faults.push(
      `input ${describeTensor(first)} needs ?features=, the ${count}query columns in the order in which the model was trained; got none`,
    )
  } else if (width !== -1 && names.length !== width) {
    faults.push(`input ${describeTensor(first)} takes ${width} features, got ${names.length}: ${names.join(', ')}`)
  }
  if (names.includes('')) faults.push(`feature names must not be empty, got ${names.map((n) => `"${n}"`).join(', ')}`)
  const repeated = duplicates(names)
  if (repeated.length > 0) faults.push(`each feature may be named once, got ${repeated.join(', ')} more than once`)
  return faults
}
