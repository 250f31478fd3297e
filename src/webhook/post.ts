// One try to deliver a webhook: a POST to where it may go, whose answer is a status and nothing else. What the name of
// the host leads to is judged when the connection is made, so that an answer of DNS which changed meanwhile is judged too.
import { type LookupAddress, lookup } from 'node:dns'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { AddressRule } from './addresses.ts'

/** How long a receiver may take to answer, from the look-up of its name on. */
const ANSWER_MS = 15_000

/** Why a try failed. `final`: another would not do better. */
export interface PostFailure {
  readonly reason: string
  readonly final: boolean
}

export interface Post {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Null: the receiver took it (2xx). Rejects only when `signal` is aborted. */
export async function post(
  { url, headers, body }: Post,
  mayReach: AddressRule,
  signal: AbortSignal,
  answerMs = ANSWER_MS,
): Promise<PostFailure | null> {
  const target = new URL(url)
  const host = hostOf(target)
  // A host that is an address is connected to without any look-up.
  if (isIP(host) && !mayReach(target.protocol, host)) return addressRefused(target)
  const time = AbortSignal.timeout(answerMs)
  try {
    return judged(await statusOf(target, { headers, body }, mayReach, AbortSignal.any([signal, time])))
  } catch (error) {
    if (signal.aborted) throw error
    if (time.aborted) return { reason: `no answer within ${answerMs / 1000} s`, final: false }
    if (error instanceof AddressRefused) return addressRefused(target)
    return { reason: messageOf(error), final: false }
  }
}

/** What a refused address is answered with; not which one it is, for that may be nobody's business outside. */
export function refusal({ protocol, hostname }: URL): string {
  return protocol === 'https:'
    ? `${hostname} is no public address, and does not lead to one; use one that is, or have its network added to WEBHOOK_PRIVATE_NETWORKS`
    : `expected https; plain http goes only to networks in WEBHOOK_PRIVATE_NETWORKS`
}

/** The host of a URL as `net` takes it: an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

/** A connection would have gone to an address that is refused. */
class AddressRefused extends Error {}

function addressRefused(target: URL): PostFailure {
  return { reason: refusal(target), final: true }
}

/** The status of the answer; its body is not read. No agent: a connection that is kept was judged for another request. */
function statusOf(
  target: URL,
  { headers, body }: Pick<Post, 'headers' | 'body'>,
  mayReach: AddressRule,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = target.protocol === 'https:' ? requestHttps : requestHttp
    const request = send(target, {
      method: 'POST',
      agent: false,
      headers: {
        ...headers,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'scoreline-webhooks',
      },
      lookup: admittedLookup((address) => mayReach(target.protocol, address)),
      signal,
    })
    request.on('error', reject)
    request.on('response', (response) => {
      resolve(response.statusCode ?? 0)
      request.destroy()
    })
    request.end(body)
  })
}

/** Looks a name up as ever, and gives only those addresses that may be connected to. */
function admittedLookup(admits: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
      if (error) return callback(error, [])
      const admitted = found.filter(({ address }) => admits(address))
      const [first] = admitted
      if (!first) return callback(new AddressRefused(), [])
      if (options.all) callback(null, admitted)
      else callback(null, first.address, first.family)
    })
  }
}

function judged(status: number): PostFailure | null {
  if (status >= 200 && status < 300) return null
  if (status >= 300 && status < 400)
    return { reason: `answered ${status}; redirects are not followed, so name the URL that it leads to`, final: false }
  // Standard Webhooks: 410 means that nothing is wanted here any more.
  return { reason: `answered ${status}`, final: status === 410 }
}

function messageOf(error: unknown): string {
  // Several addresses were tried, each with an error of its own.
  const first = error instanceof AggregateError ? error.errors[0] : error
  return first instanceof Error ? first.message : String(first)
}
