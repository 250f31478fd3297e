// Who a job is: ids that the same request always gets again, so that a replay or a retry never makes a second job. Pure.
import { createHash } from 'node:crypto'

/** The job id that belongs to a tenant's idempotency key. */
export function jobIdOfKey(tenantId: string, idempotencyKey: string): string {
  return jobIdOf(['key', tenantId, idempotencyKey])
}

/** The job id of a command record that brought no key: a replay of the record finds the same job. */
export function jobIdOfRecord(topic: string, partition: number, offset: bigint): string {
  return jobIdOf(['record', topic, String(partition), String(offset)])
}

/** The schedule that a submission with a `schedule` makes: it has the digits of the job that it would be without. */
export function scheduleIdOf(jobId: string): string {
  return jobId.replace(/^batch-/, 'schedule-')
}

/** The job of a schedule's firing that was due at `fireAt` (ms since 1970), whoever makes it and however often. */
export function jobIdOfFiring(scheduleId: string, fireAt: bigint): string {
  return jobIdOf(['firing', scheduleId, String(fireAt)])
}

/** SHA-256 (hex) of a JSON value with its object keys in order: equal for bodies that mean the same. */
export function requestHash(body: unknown): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex')
}

function jobIdOf(parts: readonly string[]): string {
  return `batch-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 20)}`
}

/** Deeper than any body that is valid; what is below does not count, and cannot exhaust the stack. */
const MAX_DEPTH = 100

function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MAX_DEPTH) return 'null'
  if (Array.isArray(value)) return `[${value.map((entry) => canonicalJson(entry, depth + 1)).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry, depth + 1)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
