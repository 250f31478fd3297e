// A job's chunks into one lane: in order, one send in flight, nothing after a failed one.
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { OutgoingRecord, RecordProducer } from '../../src/kafka/producer.ts'
import { LaneSender } from '../../src/reader/lane-sender.ts'
import { type ChunkHeader, chunksTopics, parseChunkHeaders } from '../../topics/chunks.ts'

const ID = { jobId: 'batch-1', attempt: 2 }
const LANE = 5
const MIB = 1024 * 1024

/** A producer that writes down what it is given; each send waits until it is told its outcome. */
class RecordingProducer implements RecordProducer {
  readonly sends: (readonly OutgoingRecord[])[] = []
  readonly waiting: PromiseWithResolvers<void>[] = []

  send(records: readonly OutgoingRecord[]): Promise<void> {
    this.sends.push(records)
    const outcome = Promise.withResolvers<void>()
    this.waiting.push(outcome)
    return outcome.promise
  }

  async close(): Promise<void> {}

  /** Ends all sends, also the first, which begins a moment after what it is for was queued. */
  async settleAll(): Promise<void> {
    await setImmediate()
    while (this.waiting.length) await this.settle()
  }

  /** Ends the send in flight, and lets everybody see it. */
  async settle(error?: Error): Promise<void> {
    const outcome = this.waiting.shift()
    if (error) outcome?.reject(error)
    else outcome?.resolve()
    await setImmediate()
  }

  headers(): ChunkHeader[] {
    return this.sends.flat().map((record) => parseChunkHeaders(record.headers ?? {}))
  }
}

function start() {
  const producer = new RecordingProducer()
  const errors: Error[] = []
  const sender = new LaneSender(producer, chunksTopics.cpu, LANE, ID, (error) => errors.push(error))
  return { producer, sender, errors }
}

test('chunks and the end go to the lane, with their payload and place', async () => {
  const { producer, sender } = start()
  sender.push(Buffer.from('one'), 3)
  sender.push(new Uint8Array(0), 0)
  // A window of a larger buffer: only the window is the payload.
  sender.push(Buffer.from('--two--').subarray(2, 5), 4)
  sender.end()
  const flushed = sender.flush()
  await producer.settleAll()
  await flushed
  const records = producer.sends.flat()
  expect(records.map(({ topic, partition }) => [topic, partition])).toEqual(records.map(() => [chunksTopics.cpu, LANE]))
  expect(records.map(({ value }) => value?.toString())).toEqual(['one', '', 'two', ''])
  expect(producer.headers()).toEqual([
    { ...ID, type: 'chunk', seq: 0, rows: 3, firstRow: 0 },
    { ...ID, type: 'chunk', seq: 1, rows: 0, firstRow: 3 },
    { ...ID, type: 'chunk', seq: 2, rows: 4, firstRow: 3 },
    { ...ID, type: 'end', seq: 3, chunks: 3, rows: 7 },
  ])
  expect(sender.sent).toEqual({ chunks: 3, rows: 7, bytes: 6 })
})

test('an empty lane has an end', async () => {
  const { producer, sender } = start()
  sender.end()
  await producer.settleAll()
  await sender.flush()
  expect(producer.headers()).toEqual([{ ...ID, type: 'end', seq: 0, chunks: 0, rows: 0 }])
  expect(sender.sent).toEqual({ chunks: 0, rows: 0, bytes: 0 })
})

test('what is queued in one moment, or while a send is under way, goes together, up to 4 MiB', async () => {
  const { producer, sender } = start()
  for (const mib of [1, 1, 2, 1, 5, 1, 3]) sender.push(new Uint8Array(mib * MIB), 1)
  await producer.settleAll()
  const sizes = producer.sends.map((records) => records.map(({ value }) => (value?.length ?? 0) / MIB))
  // A chunk that is larger alone goes alone.
  expect(sizes).toEqual([[1, 1, 2], [1], [5], [1, 3]])
})

test('whatever the timing: order kept, one send in flight, and `sent` counts what is in Kafka', async () => {
  const anySteps = fc.array(fc.constantFrom('push', 'push', 'settle'), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(anySteps, async (steps) => {
      const { producer, sender, errors } = start()
      let pushed = 0
      for (const step of [...steps, 'end']) {
        if (step === 'push') sender.push(new Uint8Array(10), ++pushed)
        else if (step === 'end') sender.end()
        else await producer.settle()
        expect(producer.waiting.length).toBeLessThanOrEqual(1)
        const inFlight = producer.waiting.length ? (producer.sends.at(-1)?.length ?? 0) : 0
        const chunks = producer.headers().slice(0, producer.headers().length - inFlight)
        if (step !== 'end')
          expect(sender.sent).toEqual({
            chunks: chunks.length,
            rows: chunks.reduce((rows, header) => rows + header.rows, 0),
            bytes: chunks.length * 10,
          })
      }
      await producer.settleAll()
      await sender.flush()
      const headers = producer.headers()
      const seqs = Array.from({ length: pushed + 1 }, (_, seq) => seq)
      expect(headers.map(({ seq }) => seq)).toEqual(seqs)
      expect(headers.map(({ type }) => type)).toEqual(seqs.map((seq) => (seq < pushed ? 'chunk' : 'end')))
      expect(sender.sent.chunks).toBe(pushed)
      expect(errors).toEqual([])
    }),
    { numRuns: 60 },
  )
})

test('a chunk that comes at the very moment when a send ends goes too', async () => {
  const { producer, sender } = start()
  sender.push(Buffer.from('one'), 1)
  await setImmediate()
  const late = producer.waiting[0]?.promise.then(() => {
    sender.push(Buffer.from('two'), 1)
    sender.end()
  })
  await producer.settle()
  await late
  const flushed = sender.flush()
  await producer.settleAll()
  await flushed
  expect(producer.headers().map(({ type, seq }) => [type, seq])).toEqual([
    ['chunk', 0],
    ['chunk', 1],
    ['end', 2],
  ])
})

test('after a failed send nothing is sent, and it is told once', async () => {
  const { producer, sender, errors } = start()
  const failure = new Error('the broker is gone')
  sender.push(Buffer.from('one'), 1)
  await setImmediate()
  sender.push(Buffer.from('two'), 1)
  await producer.settle()
  await producer.settle(failure)
  sender.push(Buffer.from('three'), 1)
  sender.end()
  await sender.flush()
  await setImmediate()
  expect(errors).toEqual([failure])
  expect(producer.sends).toHaveLength(2)
  expect(sender.sent).toEqual({ chunks: 1, rows: 1, bytes: 3 })
})

test('a flush waits for all that is queued, and not for ever when a send fails', async () => {
  const { producer, sender, errors } = start()
  await sender.flush()
  sender.push(new Uint8Array(3 * MIB), 1)
  sender.push(new Uint8Array(3 * MIB), 1)
  sender.push(new Uint8Array(3 * MIB), 1)
  let flushed = false
  const flush = sender.flush().then(() => {
    flushed = true
  })
  await producer.settle()
  await producer.settle()
  expect(flushed).toBe(false)
  await producer.settle(new Error('no'))
  await flush
  expect(errors).toHaveLength(1)
})
