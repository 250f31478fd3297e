// A request as it goes to the socket: length, header and body in one buffer.
import { type PlannedBody, putShortBytes } from './produce-request.ts'

/** What a request builder of kafkajs returns. */
export interface Request {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly expectResponse?: () => boolean
  /** kafkajs' Encoder has its bytes in `buffer`. */
  encode(): Promise<PlannedBody | { readonly buffer: Buffer }>
}

export interface Framed {
  readonly correlationId: number
  readonly clientId: string | null
  readonly request: Request
}

/** Takes the place of kafkajs' `protocol/request`, which copies the body twice. */
export async function frame({ correlationId, clientId, request }: Framed): Promise<{ readonly buffer: Buffer }> {
  const body = await request.encode()
  const id = clientId === null ? null : Buffer.from(clientId)
  const size = 10 + (id?.length ?? 0) + ('write' in body ? body.size : body.buffer.length)
  const buffer = Buffer.allocUnsafe(4 + size)
  let at = buffer.writeInt32BE(size, 0)
  at = buffer.writeInt16BE(request.apiKey, at)
  at = buffer.writeInt16BE(request.apiVersion, at)
  at = buffer.writeInt32BE(correlationId, at)
  at = putShortBytes(buffer, at, id)
  if ('write' in body) body.write(buffer, at)
  else body.buffer.copy(buffer, at)
  return { buffer }
}
