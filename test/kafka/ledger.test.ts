// When reports go out: together, and soon where somebody waits for them.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Ledger, LedgerWriter, NO_TOTALS } from '../../src/kafka/ledger.ts'
import { running } from '../job/snapshots.ts'

let sent: number[]
let writer: LedgerWriter

beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  const producer = {
    send: async (records: readonly unknown[]) => void sent.push(records.length),
    close: async () => {},
  }
  writer = new LedgerWriter(producer, (error) => {
    throw error
  })
})

afterEach(() => {
  vi.useRealTimers()
})

const ledger = (job_id: string, stage: 'score' | 'sink', lane = 0) =>
  new Ledger({ ledger: writer, workerId: 'w' }, running({ job_id }), stage, lane)
const totals = (chunks: number) => ({ ...NO_TOTALS, chunks: BigInt(chunks) })

/** Reports again and again until the intervals are as long as they get. */
async function settle(): Promise<void> {
  const busy = ledger('busy', 'score')
  for (let i = 0; i < 200; i++) {
    busy.report(totals(i))
    await vi.advanceTimersByTimeAsync(10)
  }
  await vi.advanceTimersByTimeAsync(200)
  sent = []
}

test('reports of a job that is under way gather for a fifth of a second', async () => {
  await settle()
  const [one, other] = [ledger('one', 'sink', 0), ledger('one', 'sink', 1)]
  one.report(totals(1))
  await vi.advanceTimersByTimeAsync(150)
  one.report(totals(2))
  other.report(totals(1))
  expect(sent).toEqual([])
  await vi.advanceTimersByTimeAsync(50)
  expect(sent).toEqual([2])
})

test('the first chunks of another job are told at once, though the one before is not a second ago', async () => {
  await settle()
  const before = ledger('before', 'sink')
  before.report(totals(7))
  const next = ledger('next', 'score')
  next.report(totals(1))
  await vi.advanceTimersByTimeAsync(10)
  expect(sent).toEqual([2])
  next.report(totals(2))
  await vi.advanceTimersByTimeAsync(20)
  expect(sent).toEqual([2, 1])
})
