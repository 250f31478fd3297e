// Headers of chunks and scored records: what goes in comes out, and a wrong one is named.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ChunkHeader, chunkHeaders, parseChunkHeaders, type RawHeaders } from '../../topics/chunks.ts'
import { DESTINATIONS } from '../../topics/jobs.ts'
import { type FailedRow, parseScoredHeaders, scoredHeaders, scoredTopics, sinkKind } from '../../topics/scored.ts'

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const id = { jobId: fc.string({ unit: 'grapheme', minLength: 1 }), attempt: count, seq: count, rows: count }
const anyHeader: fc.Arbitrary<ChunkHeader> = fc.oneof(
  fc.record({ ...id, type: fc.constant('chunk' as const), firstRow: count }),
  fc.record({ ...id, type: fc.constant('end' as const), chunks: count }),
)

const anyFailed: fc.Arbitrary<FailedRow[]> = fc.array(
  fc.record({
    row: count,
    reason: fc.string({ unit: 'grapheme' }),
    input: fc
      .uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.option(fc.string({ unit: 'grapheme' }), { nil: null })), {
        selector: ([name]) => name,
        maxLength: 4,
      })
      .map((entries) => Object.fromEntries(entries)),
  }),
  { maxLength: 4 },
)

/** As a Kafka client hands headers over. */
function received(headers: Record<string, string>): RawHeaders {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]))
}

test('the header of a chunk or an end comes back, as text or as bytes', () => {
  fc.assert(
    fc.property(anyHeader, (header) => {
      expect(parseChunkHeaders(chunkHeaders(header))).toEqual(header)
      expect(parseChunkHeaders(received(chunkHeaders(header)))).toEqual(header)
    }),
  )
})

test('headers that somebody added do not matter', () => {
  const header: ChunkHeader = { jobId: 'batch-1', attempt: 1, seq: 2, type: 'chunk', rows: 3, firstRow: 4 }
  expect(parseChunkHeaders({ ...chunkHeaders(header), traceparent: '00-ab-cd-01' })).toEqual(header)
})

test('a chunk and an end carry exactly their own fields', () => {
  const base = { jobId: 'batch-1', attempt: 1, seq: 2 }
  expect(chunkHeaders({ ...base, type: 'chunk', rows: 3, firstRow: 4 })).toEqual({
    type: 'chunk',
    job_id: 'batch-1',
    attempt: '1',
    seq: '2',
    rows: '3',
    first_row: '4',
  })
  expect(chunkHeaders({ ...base, type: 'end', rows: 3, chunks: 2 })).toEqual({
    type: 'end',
    job_id: 'batch-1',
    attempt: '1',
    seq: '2',
    rows: '3',
    chunks: '2',
  })
})

describe('a wrong header is named, with what came', () => {
  const chunk = chunkHeaders({ jobId: 'batch-1', attempt: 1, seq: 2, type: 'chunk', rows: 3, firstRow: 4 })
  const end = chunkHeaders({ jobId: 'batch-1', attempt: 1, seq: 2, type: 'end', rows: 3, chunks: 2 })
  const without = (headers: Record<string, string>, name: string): RawHeaders => ({ ...headers, [name]: undefined })

  test.each([
    ...Object.keys(chunk).map((name) => [name, chunk] as const),
    ...Object.keys(end).map((name) => [name, end] as const),
  ])('%s is missing', (name, headers) => {
    const error = new TypeError(`header ${name}: expected one value, got none`)
    expect(() => parseChunkHeaders(without(headers, name))).toThrow(error)
  })

  test.each(['', '-1', '1.5', '1e3', ' 7', '0x10', 'NaN', '9007199254740992', '99999999999999999999'])(
    'the number %j',
    (text) => {
      for (const name of ['attempt', 'seq', 'rows', 'first_row']) {
        const error = new TypeError(`header ${name}: expected a whole number, got ${text}`)
        expect(() => parseChunkHeaders({ ...chunk, [name]: Buffer.from(text) })).toThrow(error)
      }
    },
  )

  test('a type of neither kind, and a header that came twice', () => {
    expect(() => parseChunkHeaders({ ...chunk, type: 'begin' })).toThrow(
      new TypeError('header type: expected chunk or end, got begin'),
    )
    expect(() => parseChunkHeaders({ ...chunk, seq: ['1', '2'] })).toThrow(
      new TypeError('header seq: expected one value, got several'),
    )
  })
})

describe('scored records', () => {
  test('carry the failed rows along', () => {
    fc.assert(
      fc.property(anyHeader, anyFailed, (header, failed) => {
        const headers = scoredHeaders(header, failed)
        expect('failed' in headers).toBe(failed.length > 0)
        expect(parseScoredHeaders(received(headers))).toEqual({ header, failed })
      }),
    )
  })

  test('every destination has a topic', () => {
    expect(DESTINATIONS.map((destination) => scoredTopics[sinkKind(destination)].name)).toEqual([
      'scored.table.v1',
      'scored.files.v1',
      'scored.files.v1',
      'scored.kafka.v1',
    ])
  })
})
