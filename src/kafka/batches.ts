// Records in pieces that a broker takes. What a producer sends at once to a partition is one batch, and a topic's
// `max.message.bytes` (of brokers that nobody has set up: 1,048,588) is the most that a batch may have. Pure.
import type { OutgoingRecord } from './producer.ts'

/** More than a record has beside its key, value and headers: lengths, offset, time. */
const OVERHEAD_BYTES = 70

/** The records in their order, in pieces of which none has more for a partition; a larger record has a piece of its own. */
export function inBatches(records: readonly OutgoingRecord[]): OutgoingRecord[][] {
  const pieces: OutgoingRecord[][] = []
  let sizes = new Map<string, number>()
  for (const record of records) {
    const place = `${record.topic.name}/${record.partition}`
    const size = (sizes.get(place) ?? 0) + bytesOf(record)
    const piece = pieces.at(-1)
    if (piece && (size <= record.topic.batchBytes || !sizes.has(place))) {
      piece.push(record)
      sizes.set(place, size)
      continue
    }
    pieces.push([record])
    sizes = new Map([[place, bytesOf(record)]])
  }
  return pieces
}

function bytesOf({ key = '', value, headers = {} }: OutgoingRecord): number {
  const header = Object.entries(headers).reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')) + 10, 0)
  return OVERHEAD_BYTES + Buffer.byteLength(key) + (value?.length ?? 0) + header
}
