// Who is asking: the tenant that an API key stands for. With no keys configured everyone on this machine is `default`
// (the settings see to it that the API then listens on loopback only).
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { HttpProblem } from './problem.ts'

/** Gives the tenant of a request, or throws a 401. */
export function tenantResolver(apiKeys: Readonly<Record<string, string>>): (request: FastifyRequest) => string {
  const known = Object.entries(apiKeys).map(([key, tenant]) => ({ digest: digest(key), tenant }))
  if (!known.length) return () => 'default'
  return (request) => {
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
    const asked = digest(given ?? '')
    // Equal lengths and no early exit: how long it takes says nothing about the keys.
    const match = known.filter((entry) => timingSafeEqual(entry.digest, asked))[0]
    if (!given || !match)
      throw new HttpProblem(
        401,
        'unauthorized',
        'expected a header `Authorization: Bearer <key>` with a configured API key',
      )
    return match.tenant
  }
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
