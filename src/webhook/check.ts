// What is checked of a job's webhook before the job is accepted. Whether the receiver is there now is not asked: it is
// needed only when the job is finished.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Problem } from '../../connectors/connector.ts'
import { addressRule } from './addresses.ts'
import { hostOf, refusal } from './post.ts'
import type { WebhookSettings } from './settings.ts'

/** A name that takes longer is judged when the webhook is sent. */
const LOOKUP_MS = 2_000

/** All faults of a URL that is well-formed. */
export async function webhookProblems(
  url: string,
  tenantId: string,
  { secrets, privateNetworks }: WebhookSettings,
): Promise<Problem[]> {
  const problems: Problem[] = []
  if (!secrets.has(tenantId)) {
    const detail = `tenant ${tenantId} has no secret to sign webhooks with; have one added to WEBHOOK_SECRETS, or leave webhook out`
    problems.push({ code: 'webhook_secret_missing', pointer: '/webhook', detail })
  }
  const target = new URL(url)
  const mayReach = addressRule(privateNetworks)
  const addresses = await addressesOf(hostOf(target))
  if (addresses.length && !addresses.some((address) => mayReach(target.protocol, address)))
    problems.push({ code: 'webhook_address_refused', pointer: '/webhook/url', detail: refusal(target) })
  return problems
}

/** Empty when the name is not known now. */
async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host)) return [host]
  const late = new Promise<never[]>((resolve) => setTimeout(resolve, LOOKUP_MS, []).unref())
  const found = lookup(host, { all: true }).catch(() => [])
  return (await Promise.race([found, late])).map(({ address }) => address)
}
