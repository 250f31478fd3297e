// The dashboard: files of web/dist, and the one page that all its addresses show.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import { notFound } from '../problem.ts'

const DIST = resolve(import.meta.dirname, '../../../web/dist')

/** The addresses of its pages; the page itself looks which it is (web/shell/router.ts). */
const PAGES = ['/', '/jobs/:job_id', '/new', '/models', '/schedules', '/workers', '/kafka']

/** Nothing from elsewhere, nothing inline, in no other page's frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const dashboard: FastifyPluginAsync = async (app) => {
  await app.register(fastifyStatic, {
    root: DIST,
    serve: false,
    preCompressed: true,
    cacheControl: false,
  })
  const page = (reply: FastifyReply): FastifyReply => {
    if (!existsSync(DIST)) throw notFound('dashboard', '`npm run build` makes it; GET /docs describes the API')
    return reply
      .header('content-security-policy', POLICY)
      .header('cache-control', 'no-cache')
      .header('referrer-policy', 'no-referrer')
      .header('x-content-type-options', 'nosniff')
      .sendFile('index.html')
  }
  for (const path of PAGES) app.get(path, { schema: { hide: true } }, (_request, reply) => page(reply))
  // Their names change with what is in them.
  app.get('/assets/*', { schema: { hide: true } }, (request, reply) =>
    reply
      .header('cache-control', 'public, max-age=31536000, immutable')
      .header('x-content-type-options', 'nosniff')
      .sendFile(`assets/${(request.params as { '*': string })['*']}`),
  )
  app.get('/icon.svg', { schema: { hide: true } }, (_request, reply) =>
    reply
      .header('content-security-policy', "default-src 'none'")
      .header('cache-control', 'no-cache')
      .sendFile('icon.svg'),
  )
}
