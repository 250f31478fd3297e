// Who may do what: a route under /api/ names the scope that it needs (`config: { scope }`), a request brings an API key
// with scopes of its tenant. With no keys configured everyone on this machine is `default` and may do everything (the
// settings see to it that the API then listens on loopback only).
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { HttpProblem } from '../problem.ts'
import type { Scope } from './api-key.ts'
import type { KeyRing } from './key-ring.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to use the route; every route under /api/ has one. */
    scope?: Scope
  }
  interface FastifyRequest {
    /** Whose request it is. Only of routes with a scope. */
    tenantId: string
    /** Why its key is not enough any more, or null: what an answer that goes on for long asks now and then. */
    refusal(): Promise<HttpProblem | null>
  }
}

/** Guards every route that is added from now on, those of plugins too. One without a scope keeps the API from starting. */
export function guardRoutes(app: FastifyInstance, keys: KeyRing): void {
  app.decorateRequest('tenantId', 'default')
  app.decorateRequest('refusal', async () => null)
  app.addHook('onRoute', (route) => declareScope(route, keys.isGuarded))
  // Before anything else is looked at: without a key, not even what exists can be learnt. The route's own path counts, for
  // a request may write it otherwise (`/%61pi/…`); paths without a route are guarded by how they begin.
  app.addHook('onRequest', async (request) => {
    const { scope } = request.routeOptions.config
    if (!keys.isGuarded || (scope === undefined && !request.url.startsWith('/api/'))) return
    request.tenantId = await tenantOf(request, scope, keys)
    request.refusal = () => refusalOf(request, scope, keys)
  })
}

async function refusalOf(
  request: FastifyRequest,
  scope: Scope | undefined,
  keys: KeyRing,
): Promise<HttpProblem | null> {
  try {
    const tenantId = await tenantOf(request, scope, keys)
    if (tenantId === request.tenantId) return null
    return new HttpProblem(401, 'unauthorized', 'this API key is one of another tenant now')
  } catch (error) {
    if (error instanceof HttpProblem) return error
    throw error
  }
}

function declareScope(route: RouteOptions, guarded: boolean): void {
  if (!route.url.startsWith('/api/')) return
  const scope = route.config?.scope
  if (scope === undefined) throw new Error(`${route.method} ${route.url} has no scope; add config: { scope: … }`)
  const schema = (route.schema ?? {}) as { description?: string }
  route.schema = {
    ...route.schema,
    description: [schema.description, `Needs an API key with scope \`${scope}\`.`].filter(Boolean).join('\n\n'),
    ...{ 'x-scope': scope },
    ...(guarded ? { security: [{ key: [] }] } : {}),
  }
}

/** The tenant, or throws a 401 (no valid key) or 403 (a key that is not enough). */
async function tenantOf(request: FastifyRequest, scope: Scope | undefined, keys: KeyRing): Promise<string> {
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const key = given === undefined ? undefined : await keys.find(given)
  if (!key) {
    const detail = 'expected a header `Authorization: Bearer <key>` with a configured API key'
    throw new HttpProblem(401, 'unauthorized', detail)
  }
  if (key.expiresAt !== null && Date.now() >= key.expiresAt) {
    const detail = `this API key expired at ${new Date(key.expiresAt).toISOString()}; use a newer one`
    throw new HttpProblem(401, 'key_expired', detail)
  }
  if (scope !== undefined && !key.scopes.includes(scope) && !key.scopes.includes('admin')) {
    const detail = `this needs an API key with scope ${scope}; yours has ${key.scopes.join(', ')}`
    throw new HttpProblem(403, 'forbidden', detail)
  }
  return key.tenantId
}
