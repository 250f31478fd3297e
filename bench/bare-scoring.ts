// The limit that a figure is set beside: the same model on rows like the example's, in this process alone, one thread.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openScoringSession } from '../src/model/scoring-session.ts'

const CHUNK_ROWS = 1000
const CHUNKS = 200

/** Rows per second of bare scoring, over about a second. */
export async function bareScoring(): Promise<number> {
  const session = await openScoringSession(await readFile(join(import.meta.dirname, '../examples/churn/churn.onnx')), [
    'cpu',
  ])
  const chunks = Array.from({ length: CHUNKS }, (_, chunk) => features(chunk * CHUNK_ROWS))
  const started = performance.now()
  let rows = 0
  while (performance.now() - started < 1000) {
    for (const data of chunks) await session.run({ input: { type: 'float32', dims: [CHUNK_ROWS, 3], data } })
    rows += CHUNKS * CHUNK_ROWS
  }
  const rate = (rows * 1000) / (performance.now() - started)
  await session.release()
  return rate
}

/** Tenure, monthly and total charges, spread as in seed.sql: regular values would let the processor guess every branch. */
function features(first: number): Float32Array {
  return Float32Array.from({ length: CHUNK_ROWS * 3 }, (_, at) => {
    const i = first + Math.floor(at / 3)
    const u = spread(i, 2_654_435_761)
    const v = spread(i, 2_246_822_519)
    const tenure = 1 + Math.floor(72 * (0.35 * u + 0.65 * u * u))
    const monthly = 18.25 + 100.5 * (1.4 * v - 0.4 * v * v)
    return [tenure, monthly, tenure * monthly][at % 3] as number
  })
}

function spread(i: number, factor: number): number {
  return ((i * factor) % 4_294_967_296) / 4_294_967_296
}
