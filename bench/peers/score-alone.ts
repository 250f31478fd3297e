// A worker thread of limits.ts: one session of the model over the same chunks again and again; nothing else.
import { parentPort, workerData } from 'node:worker_threads'
import type { Tensors } from '../../src/model/model.ts'
import { openScoringSession } from '../../src/model/scoring-session.ts'

/** What the thread is given. */
export interface ScoringTask {
  readonly model: Uint8Array
  readonly feeds: readonly Tensors[]
  readonly rowsOfEach: number
  readonly milliseconds: number
}

/** Answers `ready`, and after any message with the rows a second. */
async function score({ model, feeds, rowsOfEach, milliseconds }: ScoringTask): Promise<void> {
  const session = await openScoringSession(model, ['cpu'])
  for (const feed of feeds.slice(0, 3)) await session.run(feed)
  parentPort?.once('message', async () => {
    const started = performance.now()
    let rows = 0
    while (performance.now() - started < milliseconds)
      for (const feed of feeds) {
        await session.run(feed)
        rows += rowsOfEach
      }
    parentPort?.postMessage((rows * 1000) / (performance.now() - started))
    await session.release()
  })
  parentPort?.postMessage('ready')
}

await score(workerData as ScoringTask)
