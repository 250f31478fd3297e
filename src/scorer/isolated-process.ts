// The process that isolated-scorer.ts starts: scores the chunks that it is given, one by one, until its parent is gone.
import { writeFile } from 'node:fs/promises'
import { readConfig } from '../config.ts'
import { ModelError } from '../model/model.ts'
import { openModelStore } from '../model/store.ts'
import { ChunkError, type ChunkWork, localScorer } from './chunk-scorer.ts'
import type { Answer, Ready } from './isolated-scorer.ts'
import { LoadedModels } from './loaded-models.ts'

const { modelStore, scorerProviders } = readConfig(process.env)
// When the machine runs out of memory, the kernel is to end this process and no other. Elsewhere than on Linux there is no such file.
await writeFile('/proc/self/oom_score_adj', '1000').catch(() => {})
const scorer = localScorer(new LoadedModels(await openModelStore(modelStore), scorerProviders))

process.on('message', async (work: ChunkWork) => {
  const answered = await answer(work)
  if (process.connected) process.send?.(answered)
})
process.once('disconnect', () => process.exit())
// A terminal's Ctrl-C reaches this process as well; its parent tells it when to go.
process.on('SIGINT', () => {})
process.send?.({ ready: true } satisfies Ready)

async function answer(work: ChunkWork): Promise<Answer> {
  try {
    return { scored: await scorer.score(work) }
  } catch (error) {
    const known = error instanceof ModelError || error instanceof ChunkError
    return { error: { code: known ? error.code : null, message: (error as Error).message } }
  }
}
