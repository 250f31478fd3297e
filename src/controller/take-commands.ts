// What becomes of the records of commands.v1: each is carried out, or forwarded to the partition where it belongs, or a dead
// letter with the reason. None is left over and none stops the ones behind it.
import { type Command, commandsTopic } from '../../topics/commands.ts'
import { type DeadLetter, deadLettersTopic } from '../../topics/dead-letters.ts'
import { cut, MESSAGE_CHARS } from '../cut.ts'
import { type CommandKeys, SERVICE, SIGNATURE_HEADER, type Signer, signerOf } from '../job/command-signature.ts'
import { isScheduled } from '../job/schedule.ts'
import { parseJob } from '../job/spec.ts'
import type { LaneRecord } from '../kafka/lane.ts'
import { controlPartition } from '../kafka/partitioner.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'
import { contentOf } from './command-decoder.ts'
import type { IncomingCommand } from './command-intake.ts'
import { type Origin, parseCommand } from './command-record.ts'
import type { JobBook } from './job-book.ts'
import type { ScheduleBook } from './schedule-book.ts'

/** Says of a record that was forwarded where it came from: `topic/partition/offset`. */
const ORIGIN_HEADER = 'scoreline-origin'

/** What a dead letter shows of a command: the record itself may be as large as any, and the letter says where it is. */
const CONTENT_CHARS = 256_000
const KEY_CHARS = 1_000

export interface Books {
  readonly book: JobBook
  readonly schedules: ScheduleBook
}

/** Whom commands are accepted from. */
export interface CommandAccess {
  readonly keys: CommandKeys
  /** Nobody is told apart, neither here nor by the API: whoever reaches Kafka is the one tenant. */
  readonly open: boolean
}

/** Carries out the commands of some records; gives what must be produced for those that could not be. */
export function takeCommands(
  incoming: readonly IncomingCommand[],
  from: { readonly topic: string; readonly partition: number },
  books: Books,
  access: CommandAccess,
  at: number,
): OutgoingRecord[] {
  return incoming.flatMap((command): OutgoingRecord[] => {
    const origin = { topic: from.topic, partition: from.partition, offset: command.record.offset }
    const taken = takeAny(command, origin, books, access, at)
    if ('forward' in taken) return [taken.forward]
    return taken.reason === null ? [] : [deadCommand(command, origin, taken.tenantId, taken.reason, at)]
  })
}

/** A reason of null: it is carried out. */
type Taken = { readonly forward: OutgoingRecord } | { readonly tenantId: string | null; readonly reason: string | null }

/** A record that something here throws at would stop the partition, and each successor at the same record: it is told of. */
function takeAny(...command: Parameters<typeof takeCommand>): Taken {
  try {
    return takeCommand(...command)
  } catch (error) {
    return { tenantId: null, reason: `the command could not be processed: ${(error as Error).message}` }
  }
}

function takeCommand(
  { record, decoded }: IncomingCommand,
  origin: Origin,
  books: Books,
  access: CommandAccess,
  at: number,
): Taken {
  const parsed = 'reason' in decoded ? decoded : parseCommand(decoded.value)
  if ('reason' in parsed) return { tenantId: null, reason: parsed.reason }
  const tenantId = parsed.command.tenant_id
  const signed = signerOf(access.keys, tenantId, record.value as Buffer, headerOf(record, SIGNATURE_HEADER))
  if ('reason' in signed) return { tenantId, reason: signed.reason }
  const home = controlPartition(tenantId)
  if (home !== origin.partition) return { forward: forwarded(record, origin, tenantId, home) }
  const { signer } = signed
  const missing = signer === 'nobody' ? null : missingIdentity(parsed.command)
  if (missing !== null) return { tenantId, reason: missing }
  return { tenantId, reason: carryOut(believed(parsed.command, record, signer, access), origin, books, at) }
}

/**
 * What a signed record must have, so that nothing happens when somebody sends it again; null: it has it. That holds for as
 * long as what it made is known: not after the job's time was up, the schedule was deleted, or 50 later changes of it.
 */
function missingIdentity(command: Command): string | null {
  const name = { submit: 'idempotency_key', schedule: 'change_id', cancel: null }[command.type]
  // Deleting a schedule again changes nothing.
  if (name === null || (command.type === 'schedule' && command.schedule === null)) return null
  if ((command as unknown as Record<string, unknown>)[name] !== undefined) return null
  return `${name}: a signed command of type ${command.type} needs one, so that the same record, sent again, changes nothing`
}

/** The command without what its writer has no right to say. */
function believed(command: Command, record: LaneRecord, signer: Signer, access: CommandAccess): Command {
  if (command.type !== 'submit') return command
  const { plan, ...rest } = command
  const key = command.idempotency_key ?? headerOf(record, ORIGIN_HEADER)
  return {
    ...rest,
    ...(key === undefined ? {} : { idempotency_key: key }),
    ...(plan && isTrusted(signer, access) ? { plan } : {}),
  }
}

/** Whether a plan that came along may stand in for the checks. Without it the job is planned here, as any direct one. */
function isTrusted(signer: Signer, { keys, open }: CommandAccess): boolean {
  if (Object.hasOwn(keys, SERVICE)) return signer === 'service'
  return signer === 'tenant' || open
}

/** Why a command could not be carried out, or null. A submission with a wrong schedule is a failed job, as any other. */
function carryOut(command: Command, origin: Origin, { book, schedules }: Books, at: number): string | null {
  if (command.type === 'schedule') return schedules.command(command, at)
  const scheduled =
    command.type === 'submit' && isScheduled(command.job) && 'spec' in parseJob(command.job, { parallelism: 1 })
  return scheduled ? schedules.create(command, origin, at) : book.command(command, origin, at)
}

/**
 * A direct producer that partitions in its own way: the owner of the tenant's jobs decides. The bytes stay as they are, for
 * their signature. The ids that follow from the origin also follow from the tenant, so a forged one hits no other's job.
 */
function forwarded(record: LaneRecord, origin: Origin, tenantId: string, home: number): OutgoingRecord {
  const signature = headerOf(record, SIGNATURE_HEADER)
  const from = headerOf(record, ORIGIN_HEADER) ?? placeOf(origin)
  return {
    topic: commandsTopic,
    partition: home,
    key: tenantId,
    value: record.value,
    headers: { [ORIGIN_HEADER]: from, ...(signature === undefined ? {} : { [SIGNATURE_HEADER]: signature }) },
  }
}

function headerOf({ headers }: LaneRecord, name: string): string | undefined {
  const value = headers[name]
  return (Array.isArray(value) ? value[0] : value)?.toString()
}

function placeOf({ topic, partition, offset }: Origin): string {
  return `${topic}/${partition}/${offset}`
}

function deadCommand(
  { record, decoded }: IncomingCommand,
  origin: Origin,
  tenantId: string | null,
  reason: string,
  at: number,
): OutgoingRecord {
  const content = contentOf(record.value, decoded)
  const letter: DeadLetter = {
    kind: 'command',
    reason: cut(reason, MESSAGE_CHARS),
    tenant_id: tenantId && cut(tenantId, KEY_CHARS),
    job_id: null,
    id: placeOf(origin),
    content: content && cut(content, CONTENT_CHARS),
    origin: { ...origin, offset: String(origin.offset) },
    at: new Date(at).toISOString(),
  }
  return {
    topic: deadLettersTopic,
    partition: origin.partition,
    key: cut(record.key?.toString() ?? '', KEY_CHARS),
    value: Buffer.from(JSON.stringify(letter)),
  }
}
