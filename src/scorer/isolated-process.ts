// The process that isolated-scorer.ts starts: scores the chunks that it is given, one by one, until its parent is gone.
import { readConfig } from '../config.ts'
import { serveParent } from '../model/isolated-child.ts'
import { ModelError } from '../model/model.ts'
import { openModelStore } from '../model/store.ts'
import { ChunkError, type ChunkWork, localScorer } from './chunk-scorer.ts'
import type { Answer } from './isolated-scorer.ts'
import { LoadedModels } from './loaded-models.ts'

const { modelStore, scorerProviders } = readConfig(process.env)
const scorer = localScorer(new LoadedModels(await openModelStore(modelStore), scorerProviders))

await serveParent<ChunkWork, Answer>(async (work) => {
  try {
    return { scored: await scorer.score(work) }
  } catch (error) {
    const known = error instanceof ModelError || error instanceof ChunkError
    return { error: { code: known ? error.code : null, message: (error as Error).message } }
  }
})
