// Kafka's variable-length numbers: signed, low seven bits first; zigzag: 0, -1, 1, -2 … as 0, 1, 2, 3 …. Source: Kafka, "Message
// Format", which took them from Protocol Buffers.

/** Writes a number of up to 52 bits; returns the position after it. */
export function putVarint(target: Uint8Array, start: number, value: number): number {
  let rest = zigzag(value)
  let at = start
  for (; rest >= INT; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 128
  for (; rest >= 128; rest >>>= 7) target[at++] = (rest & 127) | 128
  target[at++] = rest
  return at
}

/** Bytes of a number of up to 52 bits. */
export function varintSize(value: number): number {
  let rest = zigzag(value)
  if (rest < 128) return 1
  if (rest < 128 ** 2) return 2
  let size = 3
  for (rest = Math.floor(rest / 128 ** 2); rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

/** From here on bits are not shifted but divided away. */
const INT = 2 ** 31

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}
