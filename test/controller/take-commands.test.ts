// Whom a command is accepted from, and what becomes of it: carried out, forwarded as it is, or a dead letter that says why.
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { JobBook } from '../../src/controller/job-book.ts'
import { ScheduleBook } from '../../src/controller/schedule-book.ts'
import { type CommandAccess, takeCommands } from '../../src/controller/take-commands.ts'
import { jobIdOfKey } from '../../src/job/identity.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { PLAN } from '../job/snapshots.ts'

const JOB = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT * FROM customers' },
  output: { destination: 'table', table_name: 'predictions.churn_scores' },
}
const SUBMIT = { type: 'submit', tenant_id: 'acme', idempotency_key: 'k1', job: JOB }
const PLANNED = { ...SUBMIT, plan: { ...PLAN, total_rows: '5', model_version: 3 } }
const HOME = controlPartition('acme')

const ACME = 'the secret of acme'
const OLD_ACME = 'the former secret of acme'
const SERVICE = 'the secret of the service'

const OPEN: CommandAccess = { keys: {}, open: true }
const API_KEYS_ONLY: CommandAccess = { keys: {}, open: false }
const TENANT: CommandAccess = { keys: { acme: [ACME, OLD_ACME] }, open: false }
const BOTH: CommandAccess = { keys: { acme: [ACME], '*': [SERVICE] }, open: false }

/** As another program would sign it. */
function signature(secret: string, command: object, tenant = 'acme'): Record<string, string> {
  const hex = createHmac('sha256', secret)
    .update(`${tenant}.${JSON.stringify(command)}`)
    .digest('hex')
  return { 'scoreline-signature': `v1=${hex}` }
}

function take(command: object, access: CommandAccess, headers: Record<string, string> = {}, partition = HOME) {
  const limits = { maxConcurrentJobs: 3, defaultParallelism: 4, resultTtlHours: 1 }
  const book = new JobBook([], limits)
  const value = Buffer.from(JSON.stringify(command))
  const record = { offset: 7n, key: null, value, headers }
  const incoming = [{ record, decoded: { value: command } }]
  const schedules = new ScheduleBook([], limits)
  const outgoing = takeCommands(incoming, { topic: 'commands.v1', partition }, { book, schedules }, access, 1_000)
  const letter = outgoing.map(({ topic, value }) => (topic === commandsTopic ? null : JSON.parse(String(value))))[0]
  return { job: book.takeChanges()[0], outgoing, reason: letter?.reason as string | undefined }
}

describe('who signs', () => {
  test('nobody has to where the tenant has no secret', () => {
    expect(take(SUBMIT, OPEN).job?.job_id).toBe(jobIdOfKey('acme', 'k1'))
    expect(take(SUBMIT, API_KEYS_ONLY).job?.job_id).toBe(jobIdOfKey('acme', 'k1'))
    expect(take(SUBMIT, { keys: { other: [ACME] }, open: false }).job).toBeDefined()
  })

  test.each([ACME, OLD_ACME])('a tenant, with either of its secrets', (secret) => {
    expect(take(SUBMIT, TENANT, signature(secret, SUBMIT)).job).toBeDefined()
  })

  test('the service, for any tenant', () => {
    expect(take(SUBMIT, BOTH, signature(SERVICE, SUBMIT)).job).toBeDefined()
  })

  test('everybody has to where the service has a secret: a tenant without one has the API', () => {
    const access: CommandAccess = { keys: { '*': [SERVICE] }, open: false }
    expect(take(SUBMIT, access, signature(SERVICE, SUBMIT)).job).toBeDefined()
    const { job, reason } = take(SUBMIT, access)
    expect(job).toBeUndefined()
    expect(reason).toMatch(/must be signed: .* the secret of the service, for COMMAND_KEYS has none of the tenant/)
    expect(take(SUBMIT, access, signature(ACME, SUBMIT)).reason).toMatch(/fits none/)
    const other: CommandAccess = { keys: { other: [ACME], '*': [SERVICE] }, open: false }
    expect(take(SUBMIT, other).reason).toMatch(/must be signed/)
  })

  test.each<[string, Record<string, string>, RegExp]>([
    ['no header', {}, /must be signed: add a header scoreline-signature: v1=<hex/],
    ['another form', { 'scoreline-signature': 'sha256=00' }, /expected a header scoreline-signature.*got sha256=00/],
    ['another secret', signature('a secret of nobody', SUBMIT), /fits none of the secrets for tenant acme/],
    ['another tenant’s name', signature(ACME, SUBMIT, 'globex'), /fits none/],
    ['another value', signature(ACME, { ...SUBMIT, idempotency_key: 'k2' }), /fits none/],
  ])('and a command with %s is refused, with what to do', (_, headers, reason) => {
    const { job, reason: given } = take(SUBMIT, TENANT, headers)
    expect(job).toBeUndefined()
    expect(given).toMatch(reason)
    expect(given).not.toContain(ACME)
  })

  test('what is signed needs a name of its own, or a replay would be carried out again', () => {
    const { idempotency_key: _, ...keyless } = SUBMIT
    expect(take(keyless, TENANT, signature(ACME, keyless)).reason).toMatch(
      /^idempotency_key: a signed command .* needs one/,
    )
    expect(take(keyless, OPEN).job).toBeDefined()
    const change = { type: 'schedule', tenant_id: 'acme', schedule_id: 'schedule-1', schedule: { enabled: false } }
    expect(take(change, TENANT, signature(ACME, change)).reason).toMatch(/^change_id: a signed command .* needs one/)
    expect(take(change, OPEN).reason).toBe('tenant acme has no schedule schedule-1')
  })
})

describe('a plan stands in for the checks', () => {
  test.each<[string, CommandAccess, Record<string, string>]>([
    ['where nobody is told apart', OPEN, {}],
    ['from whoever has the tenant’s secret, as the API signs with it', TENANT, signature(ACME, PLANNED)],
    ['from the service', BOTH, signature(SERVICE, PLANNED)],
  ])('%s', (_, access, headers) => {
    expect(take(PLANNED, access, headers).job).toMatchObject({ plan: { total_rows: 5n }, model_version: 3 })
  })

  test.each<[string, CommandAccess, Record<string, string>]>([
    ['unsigned where the API tells tenants apart', API_KEYS_ONLY, {}],
    ['unsigned for a tenant without a secret', { keys: { other: [ACME] }, open: false }, {}],
    ['signed by the tenant where the service has its own secret', BOTH, signature(ACME, PLANNED)],
  ])('not %s: the job is planned like any other', (_, access, headers) => {
    expect(take(PLANNED, access, headers).job).toMatchObject({ plan: null, status: 'submitted', model_version: null })
  })
})

describe('on a wrong partition', () => {
  const away = (HOME + 1) % 12

  test('it is forwarded byte for byte, with its signature and where it came from', () => {
    const headers = signature(ACME, SUBMIT)
    const { outgoing, job } = take(SUBMIT, TENANT, headers, away)
    expect(job).toBeUndefined()
    const value = Buffer.from(JSON.stringify(SUBMIT))
    const origin = { 'scoreline-origin': `commands.v1/${away}/7` }
    expect(outgoing).toEqual([
      { topic: commandsTopic, partition: HOME, key: 'acme', value, headers: { ...headers, ...origin } },
    ])
  })

  test('a submission without a key is known by where it came from, and only within its tenant', () => {
    const { idempotency_key: _, ...keyless } = SUBMIT
    const origin = { 'scoreline-origin': 'commands.v1/5/7' }
    expect(take(keyless, OPEN, origin).job?.job_id).toBe(jobIdOfKey('acme', 'commands.v1/5/7'))
  })

  test('one that is not signed goes no further', () => {
    const { outgoing, reason } = take(SUBMIT, TENANT, {}, away)
    expect(outgoing).toHaveLength(1)
    expect(reason).toMatch(/must be signed/)
  })
})

describe('what is wrong with one record stops none behind it', () => {
  const deep = JSON.parse(`{"type":${'['.repeat(20_000)}${']'.repeat(20_000)},"tenant_id":"acme"}`)
  const faulty = {
    get type(): string {
      throw new RangeError('nobody has thought of this')
    },
    tenant_id: 'acme',
  }

  test.each<[string, object, string]>([
    ['nested deeper than JSON can be written', deep, 'got a value nested too deeply to show'],
    ['that nobody has thought of', faulty, 'the command could not be processed: nobody has thought of this'],
  ])('a value %s is a dead letter, and the next command is carried out', (_, value, reason) => {
    const limits = { maxConcurrentJobs: 3, defaultParallelism: 4, resultTtlHours: 1 }
    const books = { book: new JobBook([], limits), schedules: new ScheduleBook([], limits) }
    const incoming = [value, SUBMIT].map((decoded, i) => ({
      record: { offset: BigInt(i), key: null, value: Buffer.from('{}'), headers: {} },
      decoded: { value: decoded },
    }))
    const outgoing = takeCommands(incoming, { topic: 'commands.v1', partition: HOME }, books, OPEN, 1_000)
    expect(outgoing.map(({ value: letter }) => JSON.parse(String(letter)))).toEqual([
      expect.objectContaining({
        kind: 'command',
        id: `commands.v1/${HOME}/0`,
        reason: expect.stringContaining(reason),
      }),
    ])
    expect(books.book.takeChanges()).toMatchObject([{ job_id: jobIdOfKey('acme', 'k1'), status: 'submitted' }])
  })
})
