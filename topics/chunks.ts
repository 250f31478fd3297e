// chunks.{cpu,gpu}.v1: rows on their way to a scorer. No key; the partition is the lane. A record is one chunk (headers +
// Arrow IPC columns) or the end of a job's lane.
import { laneTopic } from './topic.ts'

export const chunksTopics = { cpu: laneTopic('chunks.cpu.v1'), gpu: laneTopic('chunks.gpu.v1') } as const

/** Identity of a chunk. Within (job, attempt, lane), `seq` counts from 0 without a gap. */
export interface ChunkId {
  readonly jobId: string
  readonly attempt: number
  readonly seq: number
}

/**
 * Headers of a chunk (`rows` in its payload, `firstRow` rows of the lane before it, so that whoever takes over in the
 * middle knows the totals), or of a lane's end (chunks and rows of the whole lane).
 */
export type ChunkHeader =
  | (ChunkId & { readonly type: 'chunk'; readonly rows: number; readonly firstRow: number })
  | (ChunkId & { readonly type: 'end'; readonly chunks: number; readonly rows: number })

/** Kafka headers of a chunk or end record. An end's `seq` is the number of chunks before it. */
export function chunkHeaders(header: ChunkHeader): Record<string, string> {
  return {
    type: header.type,
    job_id: header.jobId,
    attempt: String(header.attempt),
    seq: String(header.seq),
    rows: String(header.rows),
    ...(header.type === 'end' ? { chunks: String(header.chunks) } : { first_row: String(header.firstRow) }),
  }
}

/** Header values as a Kafka client hands them over. */
export type RawHeaders = Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>

/** Reads the headers back. Throws `TypeError` naming the header that is missing or no number. */
export function parseChunkHeaders(raw: RawHeaders): ChunkHeader {
  const id = {
    jobId: headerText(raw, 'job_id'),
    attempt: headerInteger(raw, 'attempt'),
    seq: headerInteger(raw, 'seq'),
  }
  const rows = headerInteger(raw, 'rows')
  const type = headerText(raw, 'type')
  if (type === 'chunk') return { ...id, type, rows, firstRow: headerInteger(raw, 'first_row') }
  if (type === 'end') return { ...id, type, rows, chunks: headerInteger(raw, 'chunks') }
  throw new TypeError(`header type: expected chunk or end, got ${type}`)
}

export function headerText(raw: RawHeaders, name: string): string {
  const value = raw[name]
  if (value === undefined || Array.isArray(value))
    throw new TypeError(`header ${name}: expected one value, got ${value ? 'several' : 'none'}`)
  return value.toString()
}

export function headerInteger(raw: RawHeaders, name: string): number {
  const text = headerText(raw, name)
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new TypeError(`header ${name}: expected a whole number, got ${text}`)
  return value
}
