// Opens a model to score many rows with: decision trees by the walk, everything else by ONNX Runtime.
import type { ModelSession } from './model.ts'
import { openSession } from './session.ts'
import { openTrees } from './trees/session.ts'

/**
 * Loads a model for execution providers `providers`, best first. Throws what `openSession` throws. On the CPU a model of trees
 * goes down them by itself, and the runtime's session, which has given the predictions to compare with, is closed again.
 */
export async function openScoringSession(bytes: Uint8Array, providers: readonly string[]): Promise<ModelSession> {
  const runtime = await openSession(bytes, { executionProviders: providers })
  if (providers.some((name) => name !== 'cpu')) return runtime
  const trees = await openTrees(runtime, bytes)
  if (!trees) return runtime
  await runtime.release()
  return trees
}
