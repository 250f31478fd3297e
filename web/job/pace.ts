// Which stage a job waits for, in a sentence: the busiest one, unless all of them have little to do. Pure.
import type { FlowNode } from '../client/types.ts'
import { percent } from '../parts/format.ts'

/** A stage that works less than this holds nobody up. */
const BUSY = 0.6

const WORDS = {
  reader: 'The query sets the pace: the reader waits for its rows',
  scorer: 'Scoring sets the pace: the scorers are busy',
  sink: 'Writing sets the pace: the sink is busy',
} as const

const ADVICE = {
  reader: 'An index, or a simpler query, would make it faster.',
  scorer: 'More scorers, or a smaller model, would make it faster.',
  sink: 'A faster destination, or more sinks, would make it faster.',
} as const

/** Null while no worker has said anything. */
export function paceOf(nodes: readonly FlowNode[]): string | null {
  const told = nodes.filter(({ busy_share, done }) => busy_share !== null && !done)
  const [slowest] = told.toSorted((a, b) => (b.busy_share ?? 0) - (a.busy_share ?? 0))
  if (!slowest) return null
  const share = slowest.busy_share ?? 0
  if (share < BUSY) return 'No stage is at its limit.'
  const { role } = slowest
  return `${WORDS[role]} ${percent(share)} of the time. ${ADVICE[role]}`
}
