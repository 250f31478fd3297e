// Creating, changing and deleting schedules over REST: everything is checked first, then the wish goes to commands.v1,
// and the answer waits until this process has seen the controller take it up.
import { randomUUID } from 'node:crypto'
import type { Command } from '../../../topics/commands.ts'
import type { Schedule } from '../../../topics/schedules.ts'
import { jobIdOfKey, requestHash, scheduleIdOf } from '../../job/identity.ts'
import { inJob, newSchedule, parseChange } from '../../job/schedule.ts'
import type { ProcessContext } from '../../process.ts'
import { checkJob, idempotencyConflict, sendCommand, TAKE_UP_MS } from '../jobs/submission.ts'
import { HttpProblem, invalidRequest, notFound } from '../problem.ts'

/** Makes the schedule that a submission asks for; the same idempotency key and body give the one that is there. */
export async function submitSchedule(
  body: unknown,
  tenantId: string,
  idempotencyKey: string | undefined,
  context: ProcessContext,
): Promise<Schedule> {
  const { views } = context
  const key = idempotencyKey ?? randomUUID()
  const jobId = jobIdOfKey(tenantId, key)
  const scheduleId = scheduleIdOf(jobId)
  if (idempotencyKey !== undefined) {
    const existing = await views.findSchedule(scheduleId)
    if (existing) return sameSchedule(existing, body)
    if (await views.findJob(jobId)) throw idempotencyConflict(`job ${jobId}`)
  }
  await checkJob(body, tenantId, context)
  // Another request with the same key may have been faster while this one was checked.
  const meanwhile = views.schedules.get(scheduleId)
  if (meanwhile) return sameSchedule(meanwhile, body)
  const command: Command = { type: 'submit', tenant_id: tenantId, idempotency_key: key, job: body }
  const schedule =
    (await sendAndSee(command, scheduleId, () => true, context)) ?? (await views.findSchedule(scheduleId))
  // Not taken up yet, it is safe in Kafka, and will be this.
  return sameSchedule(schedule ?? newSchedule(scheduleId, tenantId, body, Date.now()), body)
}

/** Changes a schedule and gives its state after that. Throws `HttpProblem`. */
export async function changeSchedule(schedule: Schedule, body: unknown, context: ProcessContext): Promise<Schedule> {
  const { schedule_id, tenant_id } = schedule
  const parsed = parseChange(body, { parallelism: context.config.defaultParallelism })
  if ('problems' in parsed) throw invalidRequest(parsed.problems)
  if (parsed.change.job !== undefined) await checkNewJob(parsed.change.job, tenant_id, context)
  const changeId = randomUUID()
  const command: Command = {
    type: 'schedule',
    tenant_id,
    schedule_id,
    schedule: parsed.change,
    change_id: changeId,
  }
  const isAfter = (state: Schedule | null) => state === null || state.change_id === changeId
  const after = await sendAndSee(command, schedule_id, isAfter, context)
  if (after === undefined) throw notTakenUp(schedule_id)
  if (after === null) throw noSuchSchedule(schedule_id)
  return after
}

/** Deletes a schedule. Jobs that it made go on. Throws `HttpProblem`. */
export async function deleteSchedule({ schedule_id, tenant_id }: Schedule, context: ProcessContext): Promise<void> {
  const command: Command = { type: 'schedule', tenant_id, schedule_id, schedule: null }
  const seen = await sendAndSee(command, schedule_id, (state) => state === null, context)
  if (seen === undefined && context.views.schedules.has(schedule_id)) throw notTakenUp(schedule_id)
}

export function noSuchSchedule(scheduleId: string): HttpProblem {
  return notFound(`schedule ${scheduleId}`, 'GET /api/v1/inference/schedules lists yours')
}

/** The checks of a submission, whose problems get the pointers that they have in a change. */
async function checkNewJob(job: unknown, tenantId: string, context: ProcessContext): Promise<void> {
  try {
    await checkJob(job, tenantId, context)
  } catch (error) {
    if (error instanceof HttpProblem && error.errors) throw invalidRequest(inJob(error.errors))
    throw error
  }
}

function sameSchedule(schedule: Schedule, body: unknown): Schedule {
  if (schedule.request_hash !== requestHash(body)) throw idempotencyConflict(`schedule ${schedule.schedule_id}`)
  return schedule
}

function notTakenUp(scheduleId: string): HttpProblem {
  return new HttpProblem(
    503,
    'not_taken_up',
    `no controller has taken up the change of ${scheduleId} yet; it is kept in Kafka and will be carried out. Look at the schedule again`,
  )
}

/** Sends a command and gives the schedule's first state from then on that fits (null: deleted); undefined when it takes too long. */
async function sendAndSee(
  command: Command,
  scheduleId: string,
  fits: (schedule: Schedule | null) => boolean,
  context: ProcessContext,
): Promise<Schedule | null | undefined> {
  const { changes } = context.views
  const seen = Promise.withResolvers<Schedule | null | undefined>()
  const onSchedule = (id: string, schedule: Schedule | null): void => {
    if (id === scheduleId && fits(schedule)) seen.resolve(schedule)
  }
  const timer = setTimeout(seen.resolve, TAKE_UP_MS, undefined)
  changes.on('schedule', onSchedule)
  try {
    await sendCommand(command, context)
    return await seen.promise
  } finally {
    clearTimeout(timer)
    changes.off('schedule', onSchedule)
  }
}
