// The schedules of one partition, and what has changed since they were last written. Commands and the clock go in,
// records and firings come out; a firing goes into the book of jobs, so both are written in one transaction.
import type { ScheduleCommand, SubmitCommand } from '../../topics/commands.ts'
import type { Schedule } from '../../topics/schedules.ts'
import { jobIdOfFiring, requestHash, scheduleIdOf } from '../job/identity.ts'
import { changed, fired, firedJob, newSchedule, parseChange } from '../job/schedule.ts'
import { type Origin, submittedJobId } from './command-record.ts'
import { DueTimes } from './due-times.ts'
import type { BookLimits, JobBook } from './job-book.ts'

/** A schedule's new state; null: it was deleted. */
export interface ScheduleWrite {
  readonly key: string
  readonly schedule: Schedule | null
}

/** Why a schedule's firing could not be made. */
export interface FailedFiring {
  readonly scheduleId: string
  readonly error: Error
}

/** Changes of a schedule that are known again when they are repeated. */
const REMEMBERED_CHANGES = 50

export class ScheduleBook {
  readonly #schedules = new Map<string, Schedule>()
  /** When each is to be looked at. */
  readonly #times = new DueTimes()
  readonly #limits: Pick<BookLimits, 'defaultParallelism'>
  #writes: ScheduleWrite[] = []

  constructor(schedules: Iterable<Schedule>, limits: Pick<BookLimits, 'defaultParallelism'>) {
    this.#limits = limits
    for (const schedule of schedules) this.#set(schedule)
  }

  get(scheduleId: string): Schedule | undefined {
    return this.#schedules.get(scheduleId)
  }

  /** Every state since the last call, in order: one for each change. */
  takeWrites(): ScheduleWrite[] {
    const writes = this.#writes
    this.#writes = []
    return writes
  }

  /** Makes the schedule that a valid submission asks for. Returns why not, or null. A repeated one changes nothing. */
  create(command: SubmitCommand, origin: Origin, at: number): string | null {
    const scheduleId = scheduleIdOf(submittedJobId(command, origin))
    const existing = this.#schedules.get(scheduleId)
    if (existing) {
      return existing.request_hash === requestHash(command.job)
        ? null
        : `schedule ${scheduleId} exists with another body; use another idempotency_key`
    }
    this.#put(newSchedule(scheduleId, command.tenant_id, command.job, at))
    return null
  }

  /** Changes or deletes a schedule. Returns why it could not be done, or null. */
  command(command: ScheduleCommand, at: number): string | null {
    const { schedule_id, tenant_id, change_id = null } = command
    const schedule = this.#schedules.get(schedule_id)
    if (schedule?.tenant_id !== tenant_id) return `tenant ${tenant_id} has no schedule ${schedule_id}`
    if (change_id !== null && schedule.recent_changes.includes(change_id)) return null
    if (command.schedule === null) {
      this.#schedules.delete(schedule_id)
      this.#times.set(schedule_id, null)
      this.#writes.push({ key: schedule_id, schedule: null })
      return null
    }
    const parsed = parseChange(command.schedule, { parallelism: this.#limits.defaultParallelism })
    if ('problems' in parsed) return parsed.problems.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
    const recent = change_id === null ? [] : [change_id]
    const recent_changes = [...recent, ...schedule.recent_changes].slice(0, REMEMBERED_CHANGES)
    this.#put({ ...changed(schedule, parsed.change, at), change_id, recent_changes })
    return null
  }

  /**
   * Makes what is due: the jobs, and the schedules' new state. One that cannot be fired stops no other, and is left alone until it
   * changes: it would fail in the same way at each look.
   */
  fire(jobs: JobBook, at: number): FailedFiring[] {
    return this.#times.due(at).flatMap((scheduleId) => {
      try {
        this.#fireOne(this.#schedules.get(scheduleId) as Schedule, jobs, at)
        return []
      } catch (error) {
        this.#times.set(scheduleId, null)
        return [{ scheduleId, error: error as Error }]
      }
    })
  }

  #fireOne(schedule: Schedule, jobs: JobBook, at: number): void {
    const { schedule: after, firings } = fired(schedule, jobs.isBusy(schedule.schedule_id), at)
    if (after === schedule && !firings.length) return
    let fresh = after
    for (const fireAt of firings) {
      const jobId = jobIdOfFiring(schedule.schedule_id, fireAt)
      jobs.fire(schedule, jobId, at)
      fresh = firedJob(fresh, fireAt, jobId)
    }
    this.#put(fresh)
  }

  #put(schedule: Schedule): void {
    this.#set(schedule)
    this.#writes.push({ key: schedule.schedule_id, schedule })
  }

  #set(schedule: Schedule): void {
    const { schedule_id, waiting_fire_at, next_fire_at } = schedule
    this.#schedules.set(schedule_id, schedule)
    // One that waits may go on whenever a job of it has ended.
    const at = waiting_fire_at === null ? next_fire_at : 0n
    this.#times.set(schedule_id, at === null ? null : Number(at))
  }
}
