// The model fixtures, opened and registered as the API would: signature, features, probed outputs.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Problem } from '../../connectors/connector.ts'
import type { ModelSession } from '../../src/model/model.ts'
import { probeOutputs } from '../../src/model/probe.ts'
import { openSession } from '../../src/model/session.ts'
import { type MatchableModel, validateFeatures } from '../../src/model/signature.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** Every model the repository ships, with the features it is registered with. */
export const MODELS = {
  'test/fixtures/models/linear.onnx': ['a', 'b', 'c'],
  'test/fixtures/models/per-column.onnx': undefined,
  'test/fixtures/models/booleans.onnx': undefined,
  'test/fixtures/models/regressor.onnx': ['a', 'b'],
  'test/fixtures/models/picky.onnx': ['a', 'b'],
  'examples/churn/churn.onnx': ['tenure', 'monthly_charges', 'total_charges'],
} as const

export function modelBytes(file: string): Uint8Array {
  return readFileSync(join(ROOT, file))
}

export interface Registered {
  readonly session: ModelSession
  readonly model: MatchableModel
}

export async function register(bytes: Uint8Array, features?: readonly string[]): Promise<Registered> {
  const session = await openSession(bytes)
  const checked = expectNone(validateFeatures(session.signature, features))
  const probed = expectNone(await probeOutputs(session, checked.features))
  const signature = { inputs: session.signature.inputs, outputs: probed.outputs }
  return { session, model: { signature, features: checked.features } }
}

export function registerFixture(file: keyof typeof MODELS): Promise<Registered> {
  return register(modelBytes(file), MODELS[file])
}

type Faulty = { readonly problems: readonly Problem[] }

/** The result without its problems; fails the test with their texts if there are any. */
export function expectNone<T extends object>(result: T): Exclude<T, Faulty> {
  if ('problems' in result) {
    const problems = result.problems as readonly Problem[]
    throw new Error(problems.map(({ code, detail }) => `${code}: ${detail}`).join('\n'))
  }
  return result as Exclude<T, Faulty>
}

/** The problems of a result that must have some. */
export function problemsOf(result: object): readonly Problem[] {
  if (!('problems' in result)) throw new Error(`expected problems, got ${JSON.stringify(result)}`)
  return result.problems as readonly Problem[]
}
