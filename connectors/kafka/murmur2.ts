// Kafka's default partitioner for records with a key: murmur2, so that a key lands where any other client would put it.
// Source: org.apache.kafka.common.utils.Utils.murmur2.

const SEED = 0x9747b28c | 0
const M = 0x5bd1e995

/** murmur2 of `bytes[start .. end)`, as a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const length = end - start
  let hash = SEED ^ length
  let at = start
  for (; at + 4 <= end; at += 4) {
    let word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    word = Math.imul(word, M)
    word ^= word >>> 24
    hash = Math.imul(hash, M) ^ Math.imul(word, M)
  }
  if (at < end) {
    for (let i = end - 1; i >= at; i--) hash ^= (bytes[i] as number) << (8 * (i - at))
    hash = Math.imul(hash, M)
  }
  hash = Math.imul(hash ^ (hash >>> 13), M)
  return hash ^ (hash >>> 15)
}

/** The partition of the key `bytes[start .. end)` among `partitions`. */
export function partitionOf(partitions: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  return (murmur2(bytes, start, end) & 0x7fff_ffff) % partitions
}
