// A resumable read: whatever the moment at which readers are lost or paused, and whatever happens to the rows meanwhile,
// the log has every key once, each lane's seqs without a gap, and no row that was there all the time is missing.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { OutgoingRecord } from '../../src/kafka/producer.ts'
import type { TransactionalWriter } from '../../src/kafka/transactions.ts'
import { KeyedLanes } from '../../src/reader/keyed-lanes.ts'
import { allowedInterruptions, takenOver } from '../../src/reader/keyed-read.ts'
import { chunksTopics, parseChunkHeaders } from '../../topics/chunks.ts'
import { type ProgressEntry, progressCodec, progressTopic } from '../../topics/progress.ts'
import { running } from '../job/snapshots.ts'
import { batchOf } from '../topics/vectors.ts'

const LANES = [1, 4, 6]
const JOB = {
  ...running({ lanes: LANES, attempt: 2 }),
  input: { source: 'sql' as const, query: 'SELECT id FROM t', connection: 'warehouse', key_column: 'id' },
}

/** What a broker keeps of transactional writers of one id: whole transactions, of the newest writer only. */
class TransactionalLog {
  readonly records: OutgoingRecord[] = []
  #epoch = 0

  /** `outcome` decides each write's fate: done, done without the writer hearing of it, or not done at all. */
  open(outcome: () => 'told' | 'untold' | 'lost' = () => 'told'): TransactionalWriter {
    const epoch = ++this.#epoch
    return {
      write: async (records) => {
        await Promise.resolve()
        if (epoch !== this.#epoch) throw new Error('fenced')
        const fate = outcome()
        if (fate !== 'lost') this.records.push(...records)
        if (fate !== 'told') throw new Error('the writer died')
      },
      close: async () => {},
    }
  }

  /** The newest entry of the read in the ledger. */
  entry(): ProgressEntry | null {
    const last = this.records.findLast(({ topic }) => topic === progressTopic)
    return last?.value ? progressCodec.decode(last.value) : null
  }

  /** A lane's records, each chunk with its keys. */
  lane(lane: number) {
    return this.records
      .filter(({ topic, partition }) => topic === chunksTopics.cpu && partition === lane)
      .map(({ headers, value }) => ({
        header: parseChunkHeaders(headers ?? {}),
        keys: value?.length ? (JSON.parse(value.toString()) as number[]) : [],
      }))
  }

  keys(): number[] {
    return LANES.flatMap((lane) => this.lane(lane).flatMap(({ keys }) => keys))
  }
}

function open(log: TransactionalLog, outcome?: () => 'told' | 'untold' | 'lost'): KeyedLanes {
  const writer = log.open(outcome)
  return new KeyedLanes(JOB, takenOver(log.entry()?.position ?? null), writer, 'reader-1')
}

/** What the source does: the rows beyond the keyset's key, in order, in batches. */
function* batches(table: ReadonlySet<number>, { keyset }: KeyedLanes, chunkRows: number) {
  const beyond = keyset.after === null ? Number.NEGATIVE_INFINITY : Number(keyset.after)
  const keys = [...table].filter((key) => key > beyond).sort((a, b) => a - b)
  for (let from = 0; from < keys.length; from += chunkRows) yield keys.slice(from, from + chunkRows)
}

function push(lanes: KeyedLanes, lane: number, keys: number[]): void {
  lanes.push(
    lane,
    Buffer.from(JSON.stringify(keys)),
    batchOf([{ name: 'id', kind: 'int64', values: keys.map(BigInt) }]),
  )
}

/** Reads until it is done or its writer is. `steps` picks lanes, and lets sends happen between chunks or not. */
async function read(
  lanes: KeyedLanes,
  table: ReadonlySet<number>,
  chunkRows: number,
  steps: Iterator<number>,
): Promise<void> {
  try {
    await lanes.begin()
    for (const keys of batches(table, lanes, chunkRows)) {
      const step = steps.next().value ?? 0
      push(lanes, LANES[step % LANES.length] as number, keys)
      for (let turns = step % 5; turns > 0; turns--) await Promise.resolve()
      if (lanes.failed.aborted) return
    }
    await lanes.end()
  } catch (error) {
    if (!lanes.failed.aborted) throw error
  }
}

const anyKeys = fc.uniqueArray(fc.integer({ min: -60, max: 60 }), { maxLength: 80 })

test('every key once, whenever readers are lost and whatever changes between', async () => {
  const anyLife = fc.record({
    /** Transactions before the reader is lost, and whether the last one got through. */
    writes: fc.nat(8),
    fate: fc.constantFrom('untold' as const, 'lost' as const),
    /** Keys that come and go before the next reader. */
    toggled: anyKeys,
  })
  await fc.assert(
    fc.asyncProperty(
      anyKeys,
      fc.array(anyLife, { maxLength: 5 }),
      fc.integer({ min: 1, max: 7 }),
      fc.infiniteStream(fc.nat(30)),
      async (initial, lives, chunkRows, steps) => {
        const log = new TransactionalLog()
        const table = new Set(initial)
        const always = new Set(initial)
        const ever = new Set(initial)
        for (const { writes, fate, toggled } of lives) {
          let left = writes
          const lanes = open(log, () => (left-- > 0 ? 'told' : fate))
          await read(lanes, table, chunkRows, steps)
          if (log.entry()?.done) break
          for (const key of toggled) {
            if (!table.delete(key)) table.add(key)
            always.delete(key)
            ever.add(key)
          }
        }
        if (!log.entry()?.done) await read(open(log), table, chunkRows, steps)

        const keys = log.keys()
        expect(new Set(keys).size).toBe(keys.length)
        expect([...always].filter((key) => !keys.includes(key))).toEqual([])
        expect(keys.filter((key) => !ever.has(key))).toEqual([])
        expectWhole(log)
      },
    ),
    { numRuns: 300 },
  )
})

/** Seqs without a gap, first rows that add up, one end with the totals, in each lane; and the ledger's totals are theirs. */
function expectWhole(log: TransactionalLog): void {
  let rows = 0
  for (const lane of LANES) {
    const records = log.lane(lane)
    expect(records.map(({ header }) => header.seq)).toEqual(records.map((_, seq) => seq))
    let laneRows = 0
    for (const { header, keys } of records) {
      expect(header).toMatchObject({ jobId: JOB.job_id, attempt: 2 })
      if (header.type === 'chunk') expect(header).toMatchObject({ firstRow: laneRows, rows: keys.length })
      laneRows += keys.length
    }
    const chunks = records.length - 1
    expect(records.at(-1)?.header).toMatchObject({ type: 'end', chunks, rows: laneRows })
    expect(records.filter(({ header }) => header.type === 'end')).toHaveLength(1)
    rows += laneRows
  }
  expect(log.entry()).toMatchObject({ stage: 'read', lane: -1, attempt: 2, rows: BigInt(rows), done: true })
}

test('a reader that was paused writes nothing after another has taken over', async () => {
  const log = new TransactionalLog()
  const zombie = open(log)
  await zombie.begin()
  push(zombie, 1, [1, 2])
  const successor = open(log)
  push(zombie, 4, [3, 4])
  await expect(zombie.end()).rejects.toThrow('fenced')
  expect(zombie.failed.aborted).toBe(true)
  await expect(zombie.fail({ code: 'query_failed', message: 'late', retriable: false })).rejects.toThrow('fenced')
  await read(successor, new Set([1, 2, 3, 4]), 2, [0, 1][Symbol.iterator]())
  expect(log.keys()).toEqual([1, 2, 3, 4])
  expect(log.entry()).toMatchObject({ error: null, done: true })
})

test('a reader that lets go is not counted as lost, one that dies is', async () => {
  const log = new TransactionalLog()
  const first = open(log)
  await first.begin()
  push(first, 1, [1])
  await first.release()
  expect(log.entry()?.position).toMatchObject({ held: false, interruptions: 0 })
  await open(log).begin()
  expect(log.entry()?.position).toMatchObject({ held: true, interruptions: 0 })
  await open(log).begin()
  expect(log.entry()?.position).toMatchObject({ held: true, interruptions: 1 })
})

test.each([
  [3, 1, 3],
  [3, 2, 2],
  [0, 1, 0],
  [1, 4, 0],
])('of retry_count %i, attempt %i leaves %i interruptions', (retryCount, attempt, left) => {
  const job = running({ attempt })
  expect(allowedInterruptions({ ...job, config: { ...job.config, retry_count: retryCount } })).toBe(left)
})
