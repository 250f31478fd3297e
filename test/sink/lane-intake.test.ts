// What a sink accepts of a lane: at-least-once goes in, exactly once comes out, and a gap is never let through.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LaneIntake } from '../../src/sink/lane-intake.ts'
import type { ChunkHeader } from '../../topics/chunks.ts'

const ID = { jobId: 'batch-1', attempt: 1 }

function chunk(seq: number): ChunkHeader {
  return { ...ID, type: 'chunk', seq, rows: 10, firstRow: seq * 10 }
}

function end(chunks: number): ChunkHeader {
  return { ...ID, type: 'end', seq: chunks, chunks, rows: chunks * 10 }
}

/** Record `i` of a lane with so many chunks: a chunk, or after the last one the end. */
function recordOf(i: number, chunks: number): ChunkHeader {
  return i < chunks ? chunk(i) : end(chunks)
}

describe('examples', () => {
  test('chunks in order, then the end', () => {
    const intake = new LaneIntake({ chunks: 0, done: false })
    expect([chunk(0), chunk(1), end(2)].map((header, i) => intake.judge(header, BigInt(i)))).toEqual([
      'take',
      'take',
      'take',
    ])
    expect(intake.nextSeq).toBe(2)
  })

  test('what is durable already is a duplicate, and holds no commit back', () => {
    const intake = new LaneIntake({ chunks: 3, done: false })
    expect([0, 1, 2].map((seq) => intake.judge(chunk(seq), BigInt(seq)))).toEqual(Array(3).fill('duplicate'))
    expect(intake.oldestOpen()).toBeNull()
    expect(intake.judge(chunk(3), 3n)).toBe('take')
    expect(intake.oldestOpen()).toBe(3n)
  })

  test('an end that names fewer chunks than were taken is as loud as a gap', () => {
    const intake = new LaneIntake({ chunks: 2, done: false })
    expect(intake.judge(end(1), 0n)).toBe('gap')
  })

  test('a lane that is done takes nothing', () => {
    const intake = new LaneIntake({ chunks: 2, done: true })
    for (const header of [chunk(0), chunk(1), end(2)]) expect(intake.judge(header, 9n)).toBe('duplicate')
  })

  test('a missing chunk is a gap, of a chunk and of an end, and stays one', () => {
    const intake = new LaneIntake({ chunks: 1, done: false })
    expect(intake.judge(chunk(2), 5n)).toBe('gap')
    expect(intake.judge(end(2), 6n)).toBe('gap')
    expect(intake.judge(chunk(2), 7n)).toBe('gap')
    expect(intake.nextSeq).toBe(1)
    expect(intake.oldestOpen()).toBeNull()
    expect(intake.judge(chunk(1), 8n)).toBe('take')
  })

  test('an unfinished file holds the commit at its first chunk, the end waits with it', () => {
    const intake = new LaneIntake({ chunks: 0, done: false })
    for (const seq of [0, 1, 2]) intake.judge(chunk(seq), BigInt(100 + seq))
    intake.judge(end(3), 110n)
    intake.durable(2, false)
    expect(intake.oldestOpen()).toBe(102n)
    intake.durable(3, false)
    expect(intake.oldestOpen()).toBe(110n)
    intake.durable(3, true)
    expect(intake.oldestOpen()).toBeNull()
  })
})

/** A lane as the sink may see it: at each step the next record, or a replay from an earlier one. */
interface Stream {
  readonly chunks: number
  /** What is durable when the sink takes the lane over; reading begins at or before it. */
  readonly durable: number
  readonly records: readonly number[]
}

const anyStream: fc.Arbitrary<Stream> = fc
  .record({ chunks: fc.nat(12), durable: fc.nat(12), back: fc.array(fc.option(fc.nat(5), { nil: 0, freq: 3 })) })
  .map(({ chunks, durable, back }) => {
    const from = Math.min(durable, chunks)
    const records: number[] = []
    let at = Math.max(0, from - (back[0] ?? 0))
    for (let step = 1; at <= chunks; step++) {
      records.push(at)
      at = Math.max(0, at + 1 - (back[step] ?? 0))
    }
    return { chunks, durable: from, records }
  })

test('whatever replays a lane sees, each chunk that is not durable is taken once, in order, and the end last', () => {
  fc.assert(
    fc.property(anyStream, ({ chunks, durable, records }) => {
      const intake = new LaneIntake({ chunks: durable, done: false })
      const taken = records.filter((record, i) => {
        const verdict = intake.judge(recordOf(record, chunks), BigInt(i))
        expect(verdict).not.toBe('gap')
        return verdict === 'take'
      })
      expect(taken).toEqual(Array.from({ length: chunks + 1 - durable }, (_, i) => durable + i))
    }),
  )
})

test('a record that is lost from the log is always found', () => {
  fc.assert(
    fc.property(anyStream, fc.nat(), ({ chunks, durable, records }, pick) => {
      // The end may be lost as well: then nothing comes after it, and the lane is just not done.
      const lost = durable + (pick % (chunks + 1 - durable))
      const intake = new LaneIntake({ chunks: durable, done: false })
      const verdicts = records
        .filter((record) => record !== lost)
        .map((record, i) => ({ record, verdict: intake.judge(recordOf(record, chunks), BigInt(i)) }))
      for (const { record, verdict } of verdicts) {
        if (record > lost) expect(verdict).toBe('gap')
        else expect(verdict).not.toBe('gap')
      }
      expect(intake.nextSeq).toBe(Math.min(lost, chunks))
    }),
  )
})

test('oldestOpen is the first place of the oldest taken record that is not durable', () => {
  fc.assert(
    fc.property(anyStream, fc.array(fc.nat(3)), ({ chunks, durable, records }, grow) => {
      const intake = new LaneIntake({ chunks: durable, done: false })
      const firstPlace = new Map<number, bigint>()
      let safe = durable
      records.forEach((record, i) => {
        const offset = BigInt(1_000 + 3 * i)
        if (intake.judge(recordOf(record, chunks), offset) === 'take') firstPlace.set(record, offset)
        // The destination makes some of what it was given durable, now and then.
        const taken = durable + firstPlace.size
        safe = Math.min(safe + (grow[i] ?? 0), taken)
        intake.durable(Math.min(safe, chunks), safe > chunks)
        expect(intake.oldestOpen()).toBe(firstPlace.get(safe) ?? null)
      })
    }),
  )
})
