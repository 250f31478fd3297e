// One try to deliver a webhook, to a real server: what counts as delivered, what is never connected to, and that the
// signature is one that the standard's own library accepts.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { addressRule } from '../../src/webhook/addresses.ts'
import { post } from '../../src/webhook/post.ts'
import { parseSecrets } from '../../src/webhook/settings.ts'
import { signedHeaders } from '../../src/webhook/signature.ts'
import { type Receiver, startReceiver } from './receiver.ts'

const OLD = `whsec_${Buffer.alloc(24, 'old').toString('base64')}`
const NEW = `whsec_${Buffer.alloc(32, 'new').toString('base64')}`
const BODY = JSON.stringify({ type: 'job.completed', data: { name: 'größer' } })
const never = new AbortController().signal
const local = addressRule(['127.0.0.1'])

let receiver: Receiver
beforeAll(async () => {
  receiver = await startReceiver()
})
afterAll(() => receiver.stop())
beforeEach(() => {
  receiver.received.length = 0
  receiver.connections = 0
  receiver.answer = (response) => response.writeHead(204).end()
})

function send(url: string, rule = local, answerMs?: number) {
  return post({ url, headers: {}, body: BODY }, rule, never, answerMs)
}

describe('the signature', () => {
  const keysOf = (...secrets: string[]) => parseSecrets(JSON.stringify({ acme: secrets })).get('acme') ?? []

  test.each([OLD, NEW])('of two keys either verifies (%#), another does not, nor a changed body', async (secret) => {
    const headers = signedHeaders(keysOf(OLD, NEW), 'batch-1-completed', Date.now(), BODY)
    expect(await post({ url: receiver.url('/'), headers, body: BODY }, local, never)).toBeNull()
    const [request] = receiver.received
    if (!request) throw new Error('nothing came')
    expect(request.headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': 'batch-1-completed' })
    const given = request.headers as Record<string, string>
    expect(new Webhook(secret).verify(request.body, given)).toEqual(JSON.parse(BODY))
    expect(() => new Webhook(secret).verify(`${request.body} `, given)).toThrow('No matching signature')
    expect(() => new Webhook(`whsec_${Buffer.alloc(24, 'x').toString('base64')}`).verify(request.body, given)).toThrow()
  })

  test('is that of the standard’s own library', () => {
    const at = new Date('2026-05-05T10:00:00Z')
    const headers = signedHeaders(keysOf(OLD), 'batch-1-failed', at.getTime(), BODY)
    expect(headers['webhook-signature']).toBe(new Webhook(OLD).sign('batch-1-failed', at, BODY))
  })
})

describe('an answer', () => {
  test.each([200, 202, 204, 299])('%i is delivered', async (status) => {
    receiver.answer = (response) => response.writeHead(status).end()
    expect(await send(receiver.url('/'))).toBeNull()
  })

  test.each([
    [400, false],
    [404, false],
    [410, true],
    [429, false],
    [500, false],
    [503, false],
  ])('%i is a failure; final: %s', async (status, final) => {
    receiver.answer = (response) => response.writeHead(status).end('the reason is not read')
    expect(await send(receiver.url('/'))).toEqual({ reason: `answered ${status}`, final })
  })

  test('a redirect is not followed', async () => {
    receiver.answer = (response) => response.writeHead(307, { location: receiver.url('/elsewhere') }).end()
    expect(await send(receiver.url('/'))).toEqual({
      reason: 'answered 307; redirects are not followed, so name the URL that it leads to',
      final: false,
    })
    expect(receiver.received.map(({ path }) => path)).toEqual(['/'])
  })

  test('an endless body is not waited for', async () => {
    receiver.answer = (response) => {
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(65_536), more)
      }
      response.writeHead(200)
      more()
    }
    expect(await send(receiver.url('/'))).toBeNull()
  })

  test('headers without end are not read', async () => {
    receiver.answer = (response) => response.writeHead(200, { large: 'x'.repeat(100_000) }).end()
    expect(await send(receiver.url('/'))).toMatchObject({ reason: expect.stringContaining('Header overflow') })
  })

  test('that does not come in time is a failure', async () => {
    receiver.answer = () => {}
    expect(await send(receiver.url('/'), local, 50)).toEqual({ reason: 'no answer within 0.05 s', final: false })
  })

  test('a receiver that hangs up, and one that is not there', async () => {
    receiver.answer = (response) => response.destroy()
    expect(await send(receiver.url('/'))).toEqual({ reason: 'socket hang up', final: false })
    expect(await send('http://127.0.0.1:1/')).toEqual({ reason: 'connect ECONNREFUSED 127.0.0.1:1', final: false })
  })
})

describe('over TLS', () => {
  const fixture = (name: string) => readFileSync(join(import.meta.dirname, '../fixtures/tls', name), 'utf8')
  const cert = fixture('localhost.pem')
  const server = createServer({ cert, key: fixture('localhost-key.pem') }, (_, response) =>
    response.writeHead(204).end(),
  )
  let port: number
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => server.close())

  test('a certificate must be one that is trusted, and be for the name', async () => {
    const failure = await send(`https://localhost:${port}/`)
    expect(failure).toEqual({ reason: expect.stringMatching(/^self-signed certificate/), final: false })
    const before = getCACertificates()
    setDefaultCACertificates([...before, cert])
    expect(await send(`https://localhost:${port}/`)).toBeNull()
    expect(await send(`https://127.0.0.1:${port}/`)).toMatchObject({ reason: expect.stringContaining("cert's list") })
    setDefaultCACertificates(before)
  })
})

describe('an address that is refused is not connected to', () => {
  test.each([
    [
      'plain http',
      '127.0.0.1',
      'http',
      /^expected https; plain http goes only to networks in WEBHOOK_PRIVATE_NETWORKS$/,
    ],
    ['an address', '127.0.0.1', 'https', /^127\.0\.0\.1 is no public address/],
    ['an address in other digits', '0x7f000001', 'https', /^127\.0\.0\.1 is no public address/],
    ['IPv6', '[::1]', 'https', /^\[::1\] is no public address/],
    ['mapped IPv4', '[::ffff:127.0.0.1]', 'https', /is no public address/],
    [
      'a name, which only the connection looks up',
      'localhost',
      'https',
      /^localhost is no public address, and does not lead/,
    ],
  ])('%s', async (_, host, scheme, reason) => {
    const failure = await send(`${scheme}://${host}:${receiver.port}/`, addressRule([]))
    expect(failure).toEqual({ reason: expect.stringMatching(reason), final: true })
    expect(receiver.connections).toBe(0)
  })

  test('a name that leads to an admitted address is', async () => {
    expect(await send(`http://localhost:${receiver.port}/`)).toBeNull()
    expect(receiver.connections).toBe(1)
  })
})
