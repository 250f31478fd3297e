// When reports go out: together, and soon where somebody waits for them.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Ledger, LedgerWriter, NO_TOTALS } from '../../src/kafka/ledger.ts'
import { running } from '../job/snapshots.ts'

let sent: number[]
let over: Set<string>
let writer: LedgerWriter

beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  over = new Set()
  const producer = {
    send: async (records: readonly unknown[]) => void sent.push(records.length),
    close: async () => {},
  }
  const isOver = (jobId: string) => over.has(jobId)
  writer = new LedgerWriter(producer, isOver, (error) => {
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

test('that a lane is scored to its end is told last, or with what somebody waits for', async () => {
  const [one, other] = [ledger('one', 'score', 0), ledger('one', 'score', 1)]
  one.report(totals(1))
  one.doneLater(totals(1))
  await vi.advanceTimersByTimeAsync(199)
  expect(sent).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(sent).toEqual([1])
  await vi.advanceTimersByTimeAsync(5_000)
  one.doneLater(totals(1))
  other.report(totals(1))
  await vi.advanceTimersByTimeAsync(10)
  expect(sent).toEqual([1, 2])
  other.report(totals(2))
  one.doneLater(totals(1))
  await vi.advanceTimersByTimeAsync(20)
  expect(sent).toEqual([1, 2, 2])
})

test('of a job that is over nothing is told any more', async () => {
  ledger('one', 'score').doneLater(totals(1))
  ledger('other', 'score').doneLater(totals(1))
  over.add('one')
  await vi.advanceTimersByTimeAsync(200)
  expect(sent).toEqual([1])
  ledger('one', 'score').doneLater(totals(1))
  await vi.advanceTimersByTimeAsync(200)
  expect(sent).toEqual([1])
})
