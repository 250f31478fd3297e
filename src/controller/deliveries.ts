// The webhooks of finished jobs, on their way: tries run beside the main loop, and each ends as an event for its job.
// What has been tried and when to try again is in the job's snapshot, so a controller that takes over goes on from there;
// a try whose outcome was not written down is made again, under the same id.
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { JobEvent } from '../job/machine.ts'
import { nextTry } from '../job/webhook.ts'
import { webhookBody, webhookId } from '../job/webhook-message.ts'
import { type AddressRule, addressRule } from '../webhook/addresses.ts'
import { type PostFailure, post } from '../webhook/post.ts'
import type { WebhookSettings } from '../webhook/settings.ts'
import { signedHeaders } from '../webhook/signature.ts'

/** Tries at a time for a tenant, and for one receiver of it: one that is dead holds each try for 15 s. */
const MAX_OF_TENANT = 8
const MAX_OF_RECEIVER = 2

export interface DeliveryOutcome {
  readonly jobId: string
  readonly event: JobEvent
}

export class Deliveries {
  readonly #settings: WebhookSettings
  readonly #mayReach: AddressRule
  readonly #report: (outcome: DeliveryOutcome) => void
  readonly #stop = new AbortController()
  /** Job → its try, until the outcome has been taken. */
  readonly #running = new Map<string, { tenantId: string; receiver: string; done: Promise<void> }>()

  constructor(settings: WebhookSettings, report: (outcome: DeliveryOutcome) => void) {
    this.#settings = settings
    this.#mayReach = addressRule(settings.privateNetworks)
    this.#report = report
  }

  /** Makes a try, unless one is under way for the job or enough are for its tenant; then it is due at the next call. */
  start(job: JobSnapshot): void {
    if (!job.webhook || this.#running.has(job.job_id)) return
    const { tenant_id: tenantId } = job
    const receiver = new URL(job.webhook.url).host
    const ofTenant = [...this.#running.values()].filter((other) => other.tenantId === tenantId)
    if (ofTenant.length >= MAX_OF_TENANT) return
    if (ofTenant.filter((other) => other.receiver === receiver).length >= MAX_OF_RECEIVER) return
    this.#running.set(job.job_id, { tenantId, receiver, done: this.#run(job, job.webhook.url) })
  }

  /** The outcome that was reported for the job has been taken: until then its snapshot has the same try as due. */
  settled(jobId: string): void {
    this.#running.delete(jobId)
  }

  /** Cuts off what is under way: the next owner makes these tries again. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  async #run(job: JobSnapshot, url: string): Promise<void> {
    let failure: PostFailure | null
    try {
      failure = await this.#try(job, url)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      failure = { reason: `internal: ${(error as Error).message}`, final: false }
    }
    const at = Date.now()
    const again = failure && !failure.final ? this.#again(job, at) : null
    const event: JobEvent = { type: 'webhook-tried', error: failure?.reason ?? null, nextAttemptAt: again, at }
    this.#report({ jobId: job.job_id, event })
  }

  async #try(job: JobSnapshot, url: string): Promise<PostFailure | null> {
    const keys = this.#settings.secrets.get(job.tenant_id)
    if (!keys) return { reason: `tenant ${job.tenant_id} has no secret in WEBHOOK_SECRETS`, final: true }
    const body = webhookBody(job)
    const headers = signedHeaders(keys, webhookId(job), Date.now(), body)
    return post({ url, headers, body }, this.#mayReach, this.#stop.signal)
  }

  #again({ webhook, finished_at }: JobSnapshot, at: number): number | null {
    const attempts = (webhook?.attempts ?? 0) + 1
    return nextTry(attempts, Number(finished_at), this.#settings.retryHours, at, Math.random())
  }
}
